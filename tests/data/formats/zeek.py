#!/usr/bin/env python3
"""Lines of `slips-agent --dump` -> logs as Zeek writes them: tab-separated, with header, one file a kind.

The facts are the agent's, the format is the one Zeek documents. Good for the readers of that format; as a witness against
the agent's own decoding it says nothing.
"""
import json
import sys

CONN = [("ts", "time"), ("uid", "string"), ("id.orig_h", "addr"), ("id.orig_p", "port"), ("id.resp_h", "addr"),
        ("id.resp_p", "port"), ("proto", "enum"), ("service", "string"), ("duration", "interval"), ("orig_bytes", "count"),
        ("resp_bytes", "count"), ("conn_state", "string"), ("missed_bytes", "count"), ("history", "string"),
        ("orig_pkts", "count"), ("orig_ip_bytes", "count"), ("resp_pkts", "count"), ("resp_ip_bytes", "count"),
        ("ip_proto", "count"), ("orig_l2_addr", "string"), ("resp_l2_addr", "string")]
HEAD = CONN[:6]
LOGS = {
    "conn": CONN,
    "dns": HEAD + [("proto", "enum"), ("trans_id", "count"), ("rtt", "interval"), ("query", "string"), ("qclass", "count"),
                   ("qclass_name", "string"), ("qtype", "count"), ("qtype_name", "string"), ("rcode", "count"),
                   ("rcode_name", "string"), ("AA", "bool"), ("TC", "bool"), ("RD", "bool"), ("RA", "bool"),
                   ("answers", "vector[string]"), ("TTLs", "vector[interval]"), ("rejected", "bool")],
    "http": HEAD + [("trans_depth", "count"), ("method", "string"), ("host", "string"), ("uri", "string"),
                    ("version", "string"), ("user_agent", "string"), ("request_body_len", "count"),
                    ("response_body_len", "count"), ("status_code", "count"), ("status_msg", "string"),
                    ("resp_mime_types", "vector[string]")],
    "ssl": HEAD + [("version", "string"), ("cipher", "string"), ("curve", "string"), ("server_name", "string"),
                   ("resumed", "bool"), ("next_protocol", "string"), ("established", "bool"),
                   ("cert_chain_fps", "vector[string]"), ("subject", "string"), ("issuer", "string"), ("ja3", "string"),
                   ("ja3s", "string")],
}


def shown(value, kind):
    """One field."""
    if value is None:
        return "-"
    if kind == "bool":
        return "T" if value else "F"
    if kind in ("time", "interval"):
        return f"{value:.6f}"
    if kind.startswith("vector"):
        inner = kind[len("vector["):-1]
        return ",".join(shown(v, inner) for v in value) or "(empty)"
    text = str(value)
    return "".join(c if c.isprintable() and c != "\t" else f"\\x{ord(c):02x}" for c in text) or "(empty)"


rows = {name: [] for name in LOGS}
for line in sys.stdin:
    flow = json.loads(line)
    if "uid" not in flow or "proto" not in flow:
        continue
    rows["conn"].append(flow)
    for name in ("dns", "http", "ssl"):
        for said in flow.get(name, []):
            rows[name].append({**{key: flow.get(key) for key, _ in HEAD}, "proto": flow["proto"], **said})
for name, columns in LOGS.items():
    if not rows[name]:
        continue
    with open(f"{sys.argv[1]}/{name}.log", "w", encoding="utf-8") as out:
        out.write("#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n")
        out.write(f"#path\t{name}\n")
        out.write("\t".join(["#fields"] + [key for key, _ in columns]) + "\n")
        out.write("\t".join(["#types"] + [kind for _, kind in columns]) + "\n")
        # Zeek writes what is over in the order in which it ended or was said.
        for row in sorted(rows[name], key=lambda r: (r["ts"] + (r.get("duration") or 0 if name == "conn" else 0), r["uid"])):
            out.write("\t".join(shown(row.get(key), kind) for key, kind in columns) + "\n")
