"""MQTT devices."""
