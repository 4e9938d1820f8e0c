"""A regression suite on a model: without Kafka, and with a plain answer to whether it may go on."""

from shadowlane.replay_worker.suite._run import Answer, SuiteResult, run_suite

__all__ = ["Answer", "SuiteResult", "run_suite"]
