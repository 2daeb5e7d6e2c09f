#!/usr/bin/env python3
"""A module for slips in another language: tells who talks to a printer at night. docs/channels.md describes all messages.

Usage: module.py redis://localhost [port of printers]      needs: pip install redis
"""
import json
import sys
import time

import redis

NIGHT = range(0, 6)  # hours, UTC


def evidence(message, port):
    """What there is to say of a flow, or None."""
    flow = message["flow"]
    hour = time.gmtime(flow["ts"]).tm_hour
    if flow["id.resp_p"] != port or hour not in NIGHT:
        return None
    return {
        "version": 1,
        "site": message["site"],
        "module": "night",
        "type": "prints_at_night",
        "profile": flow["id.orig_h"],
        "victim": flow["id.resp_h"],
        "port": port,
        "ts": flow["ts"],
        "uid": flow["uid"],
        "threat_level": "low",
        "confidence": 0.6,
        "description": f"{flow['id.orig_h']} talks to the printer {flow['id.resp_h']} at {hour} o'clock",
    }


def main():
    server = redis.Redis.from_url(sys.argv[1])
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 9100
    ears = server.pubsub(ignore_subscribe_messages=True)
    ears.subscribe("new_flow")
    for message in ears.listen():
        found = evidence(json.loads(message["data"]), port)
        if found:
            server.publish("raise_evidence", json.dumps(found))


if __name__ == "__main__":
    main()
