"""The other half of the benchmark: loops written by hand over the same tables with the same durability."""
