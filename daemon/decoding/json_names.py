"""Lists the fields in which loggers and shippers put text, level, error, status and codes of an event, the best first.

Keys match in any case and with any signs between their words: see `json_paths.py`.
"""

from __future__ import annotations

from logwarden.daemon.decoding import services, times

_BYTES = ("$binary.base64", "$binary", "bytes", "base64", "data")
"""Where writers put bytes that are no text of JSON: extended JSON, Avro's unions, Node's buffers."""
TEXT_PATHS = (
    *(
        "message",
        "msg",
        "log",
        "short_message",
        "@m",
        "renderedmessage",
        "textpayload",
        "body.stringvalue",
        "body",
        "body.text.text",
    ),
    *("record.message", "fields.message", "event.message", "log.message"),
    *("event", "event.original", "formattedmessage", "formatted_message", "log_message", "logmessage", "messagetext"),
    *("rawmessage", "raw_message", "_raw", "raw", "line", "text", "content", "log.original"),
    *(
        "message.text",
        "message.message",
        "event_message",
        "error.log.message",
        "annotations.summary",
        "event.data.title",
    ),
    *(
        "full_message",
        "msg_text",
        "logline",
        "log_line",
        "entry",
        "@mt",
        "messagetemplate",
        "title",
        "description",
        "summary",
    ),
    *("record", "消息", "сообщение", "mensaje", "meldung", "メッセージ"),
    *("alert.signature", "rule.description", "signature", "rule_name", "alert.message", "alert_name", "alertname"),
    *("note", "detail", "data", "payload", "value", "string", "body.bytesvalue", "displaymessage"),
    *(f"{name}.{kind}" for name in ("message", "log", "payload", "data", "value", "body") for kind in _BYTES),
)
TEMPLATE_KEYS = frozenset(("@mt", "MessageTemplate"))
LEVEL_PATHS = (
    *("level", "severity", "loglevel", "log.level", "lvl", "levelname", "level_name", "severitytext", "@l", "levelstr"),
    *("level.name", "level.levelstr", "level.standardlevel.name", "record.level.name", "error_severity", "sev"),
    *("log_severity", "logseverity", "level_text", "leveltext", "severity_label", "severity_text", "severityname"),
    *("loglevelname", "msg_level", "priority_name", "log.syslog.severity.name", "syslog.severity.name"),
    *(
        "leveldisplayname",
        "winlog.level",
        "severitylevel",
        "syslog.severity.code",
        "syslog_severity",
        "syslogseverity-text",
        "syslogseverity",
        "syslog.severity",
        "log.syslog.severity.code",
    ),
    *("syslog.severity_label", "levelno", "level.value", "s", "severitynumber", "priority", "log.syslog.priority"),
    *(
        "syslog_priority",
        "pri",
        "pri-text",
        "levelvalue",
        "level.label",
        "level.text",
        "severity.text",
        "severity.name",
        "level.string",
        "severity.string",
    ),
    *(
        "error.log.level",
        "eventlevel",
        "lvl_name",
        "severity_level_name",
        "logleveltext",
        "level_str",
        "severitystring",
        "level_label",
    ),
    *(
        "logger.level",
        "log_type",
        "niveau",
        "nivel",
        "livello",
        "stufe",
        "уровень",
        "级别",
        "レベル",
        "type",
        "status",
        "tags",
    ),
)
ERROR_PATHS = (
    *("error", "err", "exception", "thrown", "throwable", "exc_info", "ex", "exc", "errors", "context.exception"),
    *("context.error", "protopayload.status", "responsestatus", "failure", "fault", "exceptions", "error_info"),
    *("errorinfo", "exception_info", "last_error", "lasterror", "status_error", "extra.error", "meta.error", "cause"),
    *("trace.exception", "body.trace.exception", "data.body.trace.exception", "trace_chain", "body.trace_chain"),
    *("data.body.trace_chain", "exception_list", "exceptionlist", "exception_details", "exceptiondetails"),
)
ERROR_TEXT_PATHS = (
    *("error.message", "err.message", "exception.message", "error_message", "errormessage", "errmsg", "err_msg"),
    *(
        "outermessage",
        "error_msg",
        "errormsg",
        "exception_message",
        "error_description",
        "error_detail",
        "error_details",
    ),
    *(
        "cause",
        "details.cause",
        "exception.exception_message",
        "thrown.message",
        "error.reason",
        "status.message",
        "statusmessage",
    ),
    *("resultdescription", "failure_reason", "failurereason", "fault_string", "status_message", "error.string"),
    *(
        "outcome.reason",
        "integrationerror",
        "integrationerrormessage",
        "upstream_error",
        "backend_error",
        "failure_message",
        "lasterrormessage",
        "grpc.error",
        "root_cause",
        "state_reason",
        "stopped_reason",
        "status_reason",
    ),
)
ERROR_TYPE_PATHS = (
    *("error.type", "error.kind", "error.name", "exception.type", "exception.class", "exception.exception_class"),
    *("err.type", "err.name", "error_type", "errortype", "exception_type", "exception_class", "exceptiontype"),
    *("exc_type", "error_class", "errorclass", "thrown.name", "error_name", "errorname", "error_kind", "exceptionname"),
)
STACK_PATHS = (
    *("stack_trace", "error.stack_trace", "error.stack", "exception.stacktrace", "exception.stack_trace", "err.stack"),
    *("stack", "@x", "traceback", "backtrace", "exc_text", "error_stack", "errorstack", "thrown.extendedstacktrace"),
    *(
        "error_verbose",
        "errorverbose",
        "exception_stacktrace",
        "error_stack_trace",
        "stack_info",
        "exception_traceback",
    ),
    "full_message",
)
STATUS_PATHS = (
    *("http.response.status_code", "http.status_code", "http.status", "http.response.status", "status_code"),
    *("httprequest.status", "response.status_code", "response.status", "response.code", "res.statuscode", "res.status"),
    *("http_status", "http_status_code", "httpstatuscode", "status", "response_code", "response_status", "resp_status"),
    *(
        "sc-status",
        "elb_status_code",
        "downstreamstatus",
        "originstatus",
        "http_code",
        "http.code",
        "responsestatus.code",
    ),
    *(
        "edge_response_status",
        "response",
        "resp.status",
        "statuscode_class",
        "reply_code",
        "health",
        "detail.laststatus",
        "detail.state",
        "detail.status",
        "laststatus",
        "health.status",
        "healthstatus",
        "state",
        "phase",
    ),
)
CODE_PATHS = (
    *("code", "errno", "error_code", "error.code", "err.code", "errcode", "exit_code", "exitcode", "exit_status"),
    *(
        "return_code",
        "returncode",
        "retcode",
        "rc",
        "process.exit_code",
        "container.exit_code",
        "signal",
        "exit_signal",
    ),
    *(
        "grpc.code",
        "grpc_code",
        "grpc.status_code",
        "grpc_status",
        "rpc.grpc.status_code",
        "grpc_status_code",
        "grpc.status",
    ),
    *("event_id", "eventid", "winlog.event_id", "event.code", "hresult", "ntstatus", "sqlstate", "sql_state"),
    *("state_code", "sql_state_code", "vendor_code", "db.response.status_code", "result_code", "resultcode"),
    *(
        "resulttype",
        "resultsignature",
        "result_type",
        "protopayload.status.code",
        "status.code",
        "fault_code",
        "faultcode",
        "error_number",
    ),
    *("upstream_status", "target_status_code", "response_flags", "termination_state", "stop_code", "win32_status"),
    *("sc-win32-status", "reason", "error.errno", "err.errno", "smtp_code", "dsn", "rcode", "err_no", "abort_code"),
)
OUTCOME_PATHS = (
    *(
        "outcome",
        "outcome.result",
        "event.outcome",
        "result",
        "success",
        "ok",
        "succeeded",
        "healthy",
        "failed",
        "is_error",
        "iserror",
    ),
    *("has_error", "timed_out", "timedout", "passed", "available", "ready", "alive", "oom_killed", "oomkilled"),
    *(
        "conclusion",
        "workflow_run.conclusion",
        "check_run.conclusion",
        "event.result",
        "auth_result",
        "crashed",
        "aborted",
        "res",
        "verdict",
        "disposition",
    ),
)
METHOD_PATHS = (
    *("http.request.method", "http.method", "request.method", "httprequest.requestmethod", "request_method", "method"),
    *("req.method", "cs-method", "http_method", "requestmethod", "verb", "http_verb", "http.verb"),
)
URL_PATHS = (
    *("url.path", "url.original", "http.target", "http.url", "request.uri", "request.url", "request.path", "req.url"),
    *("request_uri", "requesturi", "request_path", "requestpath", "path", "uri", "url", "cs-uri-stem", "request_url"),
    *("httprequest.requesturl", "http.path", "http_path", "uri_path", "url_path", "http.route", "route", "endpoint"),
    *("url.full", "originalpath", "objectref.resource"),
)
ACTION_PATHS = (
    *("request", "http.request", "request_line", "event.action", "eventname", "protopayload.methodname"),
    *("operationname", "operation_name", "action", "event_name", "event_type", "eventtype", "operation", "grpc.method"),
    *("rpc.method", "command", "cmd", "activity", "detail-type"),
)
WRAPPERS = (
    *("fields", "attributes", "attrs", "attr", "extra", "context", "data", "jsonpayload", "payload", "properties"),
    *("message", "event", "log", "body", "record", "msg", "params", "meta", "metadata", "labels", "tags", "details"),
    *("parsed", "json", "detail", "mdc", "contextmap", "state", "content", "docker", "process", "log_processed"),
    *(
        "protopayload",
        "structured_data",
        "winlog.event_data",
        "custom",
        "info",
        "result",
        "value",
        "entry",
        "after",
        "line",
    ),
)
"""Objects whose fields count like those outside, after them."""

(OWN_TEXT, TEXT, LEVEL, ERROR, ERROR_TEXT, ERROR_TYPE, STACK, STATUS, CODE) = range(9)
(OUTCOME, SERVICE, POD, FILE, WEAK, TIME, METHOD, URL, ACTION) = range(9, 18)
"""Places of the roles in what a walk over an object finds."""
BESIDE = (ERROR, ERROR_TEXT, ERROR_TYPE, STACK, STATUS, CODE, OUTCOME)
"""Roles that add to the text of an event."""
OF_OBJECTS = (OWN_TEXT, ERROR, TIME)
"""Roles whose value may be an object. Of other objects the fields inside count."""


def roles(
    text_paths: tuple[str, ...], service_paths: tuple[str, ...], time_paths: tuple[str, ...]
) -> list[tuple[str, ...]]:
    """Returns the paths of each role; those that an operator has set come first."""
    return [
        *(text_paths, TEXT_PATHS, LEVEL_PATHS, ERROR_PATHS, ERROR_TEXT_PATHS, ERROR_TYPE_PATHS, STACK_PATHS),
        *(STATUS_PATHS, CODE_PATHS, OUTCOME_PATHS, (*service_paths, *services.PATHS), services.POD_PATHS),
        *(services.FILE_PATHS, services.WEAK_PATHS, (*time_paths, *times.PATHS), METHOD_PATHS, URL_PATHS, ACTION_PATHS),
    ]
