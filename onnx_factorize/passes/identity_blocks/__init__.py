"""Identity blocks in graphs: two factors without the r² numbers that an identity stands for."""

from .reading import BLOCK, NOTE, identity_blocks_in
from .sides import sides_of
from .to_pairs import WritePairs
from .write import WriteIdentityBlocks

__all__ = ["BLOCK", "NOTE", "WriteIdentityBlocks", "WritePairs", "identity_blocks_in", "sides_of"]
