"""What is built into the product and what the lab installs: licences, sources, bans, known holes, hashes, the list of parts."""
