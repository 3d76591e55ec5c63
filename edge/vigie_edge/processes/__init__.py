"""The processes of an agent: supervisor, field, control, recorder, uplink."""
