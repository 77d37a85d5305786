"""What a service has learned, as records of a compacted topic. Pure: knows no client and no pipeline."""
