"""What a trained run does and why, for people: numbers and plots in the run's folder."""
