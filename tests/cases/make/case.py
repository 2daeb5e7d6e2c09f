"""A case's folder: registry of the functions that make them, README, logs of Zeek and Suricata as text."""
import inspect, json, os, shutil, sys

from net import PC, START, Capture

CASES = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REGISTRY = []


def case(info=(), near=None, conf=None, lists=None, more=None, log=None, snap=65_535):
    """Registers a function that fills a capture (or the log that is named) as a case called like it.

    `info`: types of level info that it shows. `near`: types that it comes near, with the reason. `conf`: extract of slips.conf.
    `lists`: files of indicators. `more`: other files of the case (feeds.csv, services, places). The first sentence of the function's text is the title.
    """

    def register(make):
        REGISTRY.append((make.__name__.replace("_", "-"), make, info, near or {}, conf, lists or {}, more or {}, log, snap))
        return make

    return register


def run(wanted):
    known = [entry[0] for entry in REGISTRY]
    for name, make, info, near, conf, lists, more, log, snap in REGISTRY:
        if wanted and name not in wanted:
            continue
        folder = os.path.join(CASES, name)
        os.makedirs(folder, exist_ok=True)
        for entry in os.listdir(folder):
            path = os.path.join(folder, entry)
            if entry != "expected":
                shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
        text = inspect.cleandoc(make.__doc__)
        how = "Written" if log else "Written packet by packet"
        write(folder, "README.md", f"# {text}\n\n{how} by `make/made.py`, function `{make.__name__}`.\n")
        if conf:
            write(folder, "slips.conf", inspect.cleandoc(conf) + "\n")
        for file, lines in more.items():
            write(folder, file, inspect.cleandoc(lines) + "\n")
        for file, lines in lists.items():
            os.makedirs(os.path.join(folder, "lists"), exist_ok=True)
            write(folder, os.path.join("lists", file), inspect.cleandoc(lines) + "\n")
        traffic = log() if log else Capture(snap=snap)
        make(traffic)
        traffic.write(os.path.join(folder, "" if log else "capture.pcap"))
        seed(folder, info, near)
    return [name for name in wanted if name not in known]


def seed(folder, info, near):
    """What a new case comes near and which types of level info it shows; the rest is found."""
    if not os.path.exists(os.path.join(folder, "expected")):
        lines = [f"not {kind} {why}" for kind, why in near.items()] + [f"info 0 {kind} ?" for kind in info]
        write(folder, "expected", "\n".join(lines) + "\n")


def write(folder, name, text):
    with open(os.path.join(folder, name), "w") as f:
        f.write(text)


class Zeek:
    """Zeek's logs, as JSON, of what packets cannot show or would be too many to show."""

    def __init__(self):
        self.logs, self.number, self.port = {}, 0, 40_000

    def add(self, log, t, **fields):
        names = {"orig_h": "id.orig_h", "orig_p": "id.orig_p", "resp_h": "id.resp_h", "resp_p": "id.resp_p", "subject": "certificate.subject",
                 "version_major": "version.major", "version_minor": "version.minor"}
        line = {"ts": round(START + t, 6)} | {names.get(key, key): value for key, value in fields.items()}
        self.logs.setdefault(log, []).append(line)

    def conn(self, t, src, dst, port, proto="tcp", duration=1.0, sent=500, got=1500, state="SF", service=None, sport=None, history="ShADadFf", **more):
        self.number, self.port = self.number + 1, 40_000 + (self.port - 39_999) % 20_000
        uid, sport = f"C{self.number:06}", sport if sport is not None else self.port
        ends = {"uid": uid, "orig_h": src, "orig_p": sport, "resp_h": dst, "resp_p": port}
        packets = lambda size: 4 + size // 1400
        fields = ends | {"proto": proto, "duration": duration, "orig_bytes": sent, "resp_bytes": got, "conn_state": state, "missed_bytes": 0, "history": history,
                         "orig_pkts": packets(sent), "orig_ip_bytes": sent + 40 * packets(sent), "resp_pkts": packets(got) if got else 0,
                         "resp_ip_bytes": got + 40 * packets(got) if got else 0} | more
        if service:
            fields["service"] = service
        self.add("conn", t, **fields)
        return ends

    def write(self, folder):
        os.makedirs(os.path.join(folder, "zeek"), exist_ok=True)
        for log, lines in self.logs.items():
            lines.sort(key=lambda line: line["ts"])
            write(folder, f"zeek/{log}.log", "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


class Eve:
    """Suricata's events."""

    def __init__(self):
        self.lines = []

    def add(self, t, kind, src, dst, sport=40_000, port=80, proto="TCP", **body):
        import datetime
        when = datetime.datetime.fromtimestamp(START + t, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f+0000")
        self.lines.append((t, {"timestamp": when, "flow_id": 1000 + sport, "event_type": kind, "src_ip": src, "src_port": sport, "dest_ip": dst, "dest_port": port, "proto": proto} | body))

    def write(self, folder):
        lines = sorted(self.lines, key=lambda line: line[0])
        write(folder, "eve.json", "".join(json.dumps(line, separators=(",", ":")) + "\n" for _, line in lines))
