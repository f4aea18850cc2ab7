"""A sweep under random kills, and whether it ends with the tables of an undisturbed one."""
