"""The sample of sensors: weeks of readings of machines, generated, with faults for drills."""
