"""Peers on the same work in the same run; each row says so when its peer is not installed."""
