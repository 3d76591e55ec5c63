"""Traffic half of the simulator: SUMO as the plant, intersections as OPC UA devices, their monitors."""
