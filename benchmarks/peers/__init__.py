"""Peers on the same work in the same run as ours, by `make bench-peers`; a peer that can't be installed is skipped by
name, with the reason."""
