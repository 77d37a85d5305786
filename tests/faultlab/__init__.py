"""Real systems under real faults."""
