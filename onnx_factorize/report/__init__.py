"""What happened, for programs and for people."""
