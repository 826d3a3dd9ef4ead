"""What the adjoint is made with: nodes, the blocks that they collect in, and facts of values."""
