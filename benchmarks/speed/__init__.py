"""How fast is the service, beside its limits and beside what else a team could take? `make bench` answers."""
