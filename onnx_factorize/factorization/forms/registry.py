"""Which forms there are, which of them an operator may have, and which it was given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...passes import Target
from .form import Form
from .pair import Pair
from .tucker import Tucker

__all__ = ["form_named", "form_names", "form_that_cuts", "forms_of", "register", "unfoldings_of"]

_FORMS: dict[str, Form] = {}


def register(form: Form) -> None:
    """Adds a form: from now on operators may have it.

    Of two forms that cut the same unfoldings of an operator, the one that was added last is taken
    unless `--form` names the other.
    """
    _FORMS[form.name] = form


for _form in (Pair("channel"), Pair("input", "input"), Pair("spatial", "spatial"), Tucker()):
    register(_form)


def form_names() -> tuple[str, ...]:
    """The names of all forms, as `--form` has them."""
    return tuple(_FORMS)


def form_named(name: str) -> Form:
    """The form of a name."""
    return _FORMS[name]


def unfoldings_of(target: Target) -> tuple[Target, ...]:
    """All unfoldings of an operator, its own first."""
    return (target, *target.unfoldings)


def forms_of(target: Target) -> dict[str, tuple[Target, ...]]:
    """The forms that an operator may be cut in, with the unfoldings that each cuts."""
    by_unfolding = {each.unfolding.name: each for each in unfoldings_of(target)}
    found: dict[tuple[str, ...], str] = {}
    for form, cuts in _fitting(target):
        if by_unfolding.keys() >= set(cuts):
            found[cuts] = form.name
    cut_by = {name: cuts for cuts, name in found.items()}
    return {
        name: tuple(by_unfolding[unfolding] for unfolding in cut_by[name])
        for name in _FORMS
        if name in cut_by
    }


def form_that_cuts(unfoldings: Sequence[Target]) -> Form:
    """The form of an operator of which these unfoldings, and no others, are cut."""
    wanted = {each.unfolding.name for each in unfoldings}
    # Of a form that cuts several unfoldings, one may be cut alone: where latency is the unit.
    every = (*_fitting(unfoldings[0], tuple(_FORMS)), *_fitting(unfoldings[0]))
    return next(form for form, cuts in reversed(every) if set(cuts) == wanted)


def _fitting(
    target: Target, names: Sequence[str] | None = None
) -> Iterator[tuple[Form, tuple[str, ...]]]:
    """The forms that suit an operator, and what each would cut."""
    for form in (_FORMS[name] for name in names or target.forms or _FORMS):
        cuts = form.cuts(target.own)
        if cuts is not None:
            yield form, cuts
