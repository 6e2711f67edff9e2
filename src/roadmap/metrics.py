"""What one process tells Prometheus: counted as it happens, or read when somebody asks. A value; nothing is global."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from prometheus_client import CollectorRegistry, Counter, GCCollector, Histogram, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = ["JobMetrics", "Metrics", "ModelCall", "ModelMetrics", "RequestMetrics"]

# Seconds, as OpenTelemetry's semantic conventions advise for requests and for calls of models; tokens likewise.
_REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_CALL_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
_JOB_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# A figure, or one for each combination of its labels; None: it is not known just now, and no sample is the honest one.
Reading = Callable[[], float | Mapping[tuple[str, ...], float] | None]


class Metrics:
    """The figures of this process. Each group appears in `registry` once it is first used, so that a process tells of
    what it does alone."""

    def __init__(self, version: str) -> None:
        self.registry = _Registry(auto_describe=False)
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._readings: dict[str, _Reading] = {}
        self._seen = _Seen()
        self.registry.register(self._seen)
        self.gauge("roadmap_build_info", "Always 1; its label is the version.", lambda: {(version,): 1}, "version")

    def look(self) -> None:
        """Asks every reading. Afterwards another thread may render `registry`, which takes some milliseconds."""
        self._seen.metrics = [reading.collect() for reading in self._readings.values()]

    @cached_property
    def requests(self) -> "RequestMetrics":
        return RequestMetrics(self.registry)

    @cached_property
    def jobs(self) -> "JobMetrics":
        return JobMetrics(self.registry)

    @cached_property
    def model(self) -> "ModelMetrics":
        return ModelMetrics(self.registry)

    def watch_loop(self, lag: Callable[[], float]) -> None:
        """`lag`: seconds by which the loop was late, at most, in the last ten."""
        self.gauge("roadmap_event_loop_lag_seconds", "By how much the loop was late, at most, in ten seconds.", lag)

    def gauge(self, name: str, text: str, read: Reading, *labels: str) -> None:
        """`read` is asked at each `look`, and neither waits nor raises. A second one of this name takes its place."""
        self._readings[name] = _Reading(GaugeMetricFamily, name, text, read, labels)

    def counter(self, name: str, text: str, read: Reading, *labels: str) -> None:
        """As `gauge`, of what only ever rises; the name ends in `_total`. A second one goes on where the first is."""
        former = self._readings.get(name)
        before = former.values() if former else {}
        self._readings[name] = _Reading(CounterMetricFamily, name, text, read, labels, before)


class RequestMetrics:
    """Requests that were answered."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "http_server_request_duration_seconds",
            "From a request's arrival to the end of its answer; to the beginning where that is an event stream.",
            ("method", "route", "status"),
            buckets=_REQUEST_SECONDS,
            registry=registry,
        )
        self._known: dict[tuple[str, str, int], Histogram] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """`route` is a line of the URL table, never a path that somebody asked for. A microsecond and a half."""
        key = (method, route, status)
        known = self._known.get(key)
        if known is None:
            known = self._seconds.labels(method if method in _METHODS else "_OTHER", route, str(status))
            if method in _METHODS:
                self._known[key] = known
        known.observe(seconds)


class JobMetrics:
    """Jobs of a queue, by function."""

    def __init__(self, registry: CollectorRegistry) -> None:
        function = ("function",)
        self._offered = Counter(
            "roadmap_jobs_offered_total", "Jobs that this process added to a queue.", function, registry=registry
        )
        self._ended = Counter(
            "roadmap_jobs_total",
            "Jobs that ended here: succeeded, failed (given up), or returned (to be done again).",
            ("function", "outcome"),
            registry=registry,
        )
        self._wait = Histogram(
            "roadmap_job_wait_seconds",
            "From when a job could have begun until it did.",
            function,
            buckets=_JOB_SECONDS,
            registry=registry,
        )
        self._duration = Histogram(
            "roadmap_job_duration_seconds",
            "From a job's beginning to its end, however it ended.",
            function,
            buckets=_JOB_SECONDS,
            registry=registry,
        )

    def offered(self, function: str, jobs: int) -> None:
        self._offered.labels(function).inc(jobs)

    def finished(self, function: str, outcome: str, wait: float | None, run: float | None) -> None:
        """Seconds; None: it never began."""
        self._ended.labels(function, outcome).inc()
        if wait is not None:
            self._wait.labels(function).observe(wait)
        if run is not None:
            self._duration.labels(function).observe(run)


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One HTTP call of a model that has ended. `error` is a word of a small set, empty when all is well."""

    provider: str
    model: str
    seconds: float
    input_tokens: int
    output_tokens: int
    cost_micros: int
    error: str = ""


class ModelMetrics:
    """Calls of models, by OpenTelemetry's conventions for generative AI."""

    def __init__(self, registry: CollectorRegistry) -> None:
        names = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
        self._seconds = Histogram(
            "gen_ai_client_operation_duration_seconds",
            "How long one call took, with the reading of its answer.",
            (*names, "error_type"),
            buckets=_CALL_SECONDS,
            registry=registry,
        )
        self._tokens = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of one call that was answered.",
            (*names, "gen_ai_token_type"),
            buckets=_TOKENS,
            registry=registry,
        )
        self._cost = Counter(
            "roadmap_model_cost_micros_total",
            "Micro-dollars that calls have cost by LLM_INPUT_PRICE and LLM_OUTPUT_PRICE.",
            names[1:],
            registry=registry,
        )

    def observe(self, call: ModelCall) -> None:
        names = ("chat", call.provider, call.model)
        self._seconds.labels(*names, call.error).observe(call.seconds)
        self._cost.labels(*names[1:]).inc(call.cost_micros)
        if call.input_tokens or call.output_tokens:
            self._tokens.labels(*names, "input").observe(call.input_tokens)
            self._tokens.labels(*names, "output").observe(call.output_tokens)


class _Registry(CollectorRegistry):
    """Without the time of birth of each counter: a third of all samples, and nobody asks for them."""

    def collect(self) -> Iterable[Metric]:
        for metric in super().collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


@dataclass(frozen=True, slots=True)
class _Reading:
    family: type[GaugeMetricFamily] | type[CounterMetricFamily]
    name: str
    text: str
    read: Reading
    labels: Sequence[str]
    before: Mapping[tuple[str, ...], float] = field(default_factory=dict)

    def collect(self) -> Metric:
        family = self.family(self.name, self.text, labels=self.labels)
        for labels, value in self.values().items():
            family.add_metric(labels, value)
        return family

    def values(self) -> Mapping[tuple[str, ...], float]:
        found = self.read()
        samples: Mapping[tuple[str, ...], float]
        samples = found if isinstance(found, Mapping) else {} if found is None else {(): found}
        return {labels: samples.get(labels, 0) + self.before.get(labels, 0) for labels in {**self.before, **samples}}


class _Seen(Collector):
    """What the readings said at the last look."""

    def __init__(self) -> None:
        self.metrics: list[Metric] = []

    def collect(self) -> Iterable[Metric]:
        return self.metrics
