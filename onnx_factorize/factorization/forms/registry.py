"""The registry of forms: which an operator may have, and which it was given."""

from __future__ import annotations

from collections.abc import Sequence

from ...passes import Target
from ...registering import check_free
from .form import Form

__all__ = ["form_named", "form_names", "form_that_cuts", "forms_of", "register", "unfoldings_of"]

_FORMS: dict[str, Form] = {}


def register(form: Form) -> None:
    """Adds a form: from now on operators may have it.

    Raises:
        ValueError: Another has that name.
    """
    check_free(_FORMS, form, "form")
    _FORMS[form.name] = form


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
    """The forms that an operator may be cut in, with the unfoldings that each cuts.

    Raises:
        ValueError: Two forms cut the same unfoldings, and neither says that it replaces the other.
    """
    by_unfolding = {each.unfolding.name: each for each in unfoldings_of(target)}
    return {
        form.name: tuple(by_unfolding[name] for name in cuts)
        for cuts, form in sorted(_by_cuts(target).items(), key=_place)
        if by_unfolding.keys() >= set(cuts)
    }


def form_that_cuts(unfoldings: Sequence[Target]) -> Form:
    """The form of an operator of which these unfoldings, and no others, are cut, as written."""
    wanted = {each.unfolding.name for each in unfoldings}
    # Of a form that cuts several unfoldings, one may be cut alone: where latency is the unit.
    every = {**_by_cuts(unfoldings[0], tuple(_FORMS)), **_by_cuts(unfoldings[0])}
    form = next(form for cuts, form in every.items() if set(cuts) == wanted)
    return form.written(unfoldings[0])


def _by_cuts(target: Target, names: Sequence[str] | None = None) -> dict[tuple[str, ...], Form]:
    """The forms that suit an operator, by the unfoldings that each would cut: one for each.

    Args:
        target: The operator.
        names: The forms to choose among; those that the target may have by default.
    """
    found: dict[tuple[str, ...], Form] = {}
    for form in (_FORMS[name] for name in names or target.forms or _FORMS):
        cuts = form.cuts(target.own)
        if cuts is None:
            continue
        other = found.get(cuts)
        if other is None or other.name in form.replaces:
            found[cuts] = form
        elif form.name not in other.replaces:
            raise ValueError(
                f"the forms '{other.name}' and '{form.name}' cut the same unfoldings of "
                f"'{target.operator}', and neither says that it replaces the other"
            )
    return found


def _place(item: tuple[tuple[str, ...], Form]) -> int:
    return list(_FORMS).index(item[1].name)
