"""The shelf audit's sample: photos of warehouse lanes, rendered, with faults for drills."""
