"""Alerts, states and answers over MQTT, and Home Assistant's discovery of them. It comes together in `bridge.py`."""
