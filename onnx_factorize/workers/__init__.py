"""Workers: processes and machines among which a calibration is shared out."""
