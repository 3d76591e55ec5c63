"""Plants, rigs, scenarios and benches: the city on a desk."""
