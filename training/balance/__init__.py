"""How the tasks of one step are weighed against each other."""
