"""`python -m onnx_factorize`."""

from .cli.main import main

if __name__ == "__main__":
    main()
