"""What is made ready before calibration: targets found, subnormal weights dealt with."""
