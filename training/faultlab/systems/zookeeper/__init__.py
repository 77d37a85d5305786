"""ZooKeeper in the fault lab."""
