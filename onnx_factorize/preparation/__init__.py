"""Preparation before calibration: targets found, subnormal weights dealt with."""
