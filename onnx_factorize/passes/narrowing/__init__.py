"""Narrowing: channels between linear operators, found and taken out of the graph."""

# Rules are registered when their modules are imported.
from . import elementwise, linear, movement, normalization, reduction, reshaping
from .find_channels import FindChannels
from .group import ChannelGroup, Place, Reader, RefusedChannels
from .narrow_channels import NarrowChannels
from .neighbours import Neighbours
from .provenance import Narrowed, narrowed
from .registry import rule
from .step import Step
from .without_channels import WithoutChannels

__all__ = [
    "ChannelGroup",
    "FindChannels",
    "NarrowChannels",
    "Narrowed",
    "Neighbours",
    "Place",
    "Reader",
    "RefusedChannels",
    "Step",
    "WithoutChannels",
    "narrowed",
    "rule",
]

del elementwise, linear, movement, normalization, reduction, reshaping
