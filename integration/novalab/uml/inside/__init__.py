"""What runs inside a machine of the disk lab; it finds the lab's code at the same path as outside, through hostfs."""
