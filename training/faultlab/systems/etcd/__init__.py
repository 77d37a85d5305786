"""etcd in the fault lab."""
