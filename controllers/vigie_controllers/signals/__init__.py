"""Traffic signals: the site's facts, the ring-and-barrier engine, the guard and the controllers."""
