"""Reports for people: one file of HTML with everything in it, made from a report's data.

Needs the extra `onnx-factorize[report]` (jinja2 and matplotlib); without it, only `availability`
can be imported.
"""
