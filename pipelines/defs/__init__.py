"""Jobs, schedules, sensors and resources, loaded by ``pipelines.definitions``."""
