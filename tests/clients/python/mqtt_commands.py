"""Mosquitto's own mosquitto_pub, mosquitto_sub and mosquitto_rr (Debian: mosquitto-clients)."""

import os
import shutil
import subprocess
import urllib.parse

from mqtt_tools import Device, fence, values_of
from suite import case, equal, main, unique, wait_until

VERSIONS = ("mqttv31", "mqttv311", "mqttv5")


def command(name, url, *arguments):
    """The words of a command; the test fails, and says what to do, where it is not installed."""
    path = shutil.which(name)
    if path is None:
        raise AssertionError(f"{name} is missing: apt-get install mosquitto-clients")
    place = urllib.parse.urlsplit(url)
    return [path, "-h", place.hostname, "-p", str(place.port), "-u", place.username, "-P", place.password, *arguments]


def run(name, url, *arguments, fails=False, stdin=None):
    done = subprocess.run(command(name, url, *arguments), capture_output=True, input=stdin, timeout=30)
    equal(done.returncode != 0, fails, f"{name} {arguments}: {done.returncode} {done.stderr.decode()}")
    return done.stdout if not fails else done.stderr


def subscriber(url, *arguments):
    """A mosquitto_sub that is subscribed; it tells so among its other lines (`stdbuf`: at once)."""
    words = ["stdbuf", "-oL", *command("mosquitto_sub", url, "-d", *arguments)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    for line in process.stdout:
        if b"SUBACK" in line:
            break
    return process


@case
def published_and_printed(url):
    for version in VERSIONS:
        for qos in "012":
            topic = unique("cmd")
            run("mosquitto_pub", url, "-V", version, "-t", topic, "-q", qos, "-m", "hello", "-r")
            out = run("mosquitto_sub", url, "-V", version, "-t", topic, "-q", qos, "-C", "1", "-F", "%t %q %r %p")
            equal(out.decode().strip(), f"{topic} {qos} 1 hello")
            run("mosquitto_pub", url, "-V", version, "-t", topic, "-q", qos, "-n", "-r")


@case
def a_file_line_by_line(url):
    topic = unique("cmd")
    with Device(url) as device:
        device.subscribe(topic, qos=1)
        run("mosquitto_pub", url, "-V", "mqttv5", "-t", topic, "-q", "1", "-l", stdin=b"".join(b"%d\n" % line for line in range(500)))
        equal(device.payloads(500), [b"%d" % line for line in range(500)])


@case
def a_large_file(url):
    topic = unique("cmd")
    body = os.urandom(3_000_000)
    with Device(url) as device:
        device.subscribe(topic, qos=2)
        run("mosquitto_pub", url, "-t", topic, "-q", "2", "-s", stdin=body)
        equal(device.take(1)[0].payload == body, True, "3 MB as they were")


@case
def a_session_of_the_command(url):
    for version in VERSIONS:
        topic, name = unique("cmd"), unique("cmd")[:23]
        session = ["-V", version, "-i", name, "-c", "-t", topic, "-q", "1"]
        if version == "mqttv5":
            session += ["-x", "600"]
        run("mosquitto_sub", url, *session, "-E")
        run("mosquitto_pub", url, "-t", topic, "-q", "1", "-m", "one")
        run("mosquitto_pub", url, "-t", topic, "-q", "2", "-m", "two")
        equal(run("mosquitto_sub", url, *session, "-C", "2").decode(), "one\ntwo\n")
        with Device(url, name):
            pass


@case
def properties_of_5(url):
    topic, name = unique("cmd"), unique("cmd")
    session = ["-V", "mqttv5", "-i", name, "-c", "-x", "600", "-t", topic, "-q", "1"]
    run("mosquitto_sub", url, *session, "-E")
    run("mosquitto_pub", url, "-V", "mqttv5", "-t", topic, "-q", "1", "-m", "x",
        "-D", "PUBLISH", "content-type", "text/plain",
        "-D", "PUBLISH", "user-property", "b", "1",
        "-D", "PUBLISH", "user-property", "a", "2",
        "-D", "PUBLISH", "response-topic", "back",
        "-D", "PUBLISH", "correlation-data", "c0ffee",
        "-D", "PUBLISH", "message-expiry-interval", "600",
        "-D", "PUBLISH", "payload-format-indicator", "1")  # fmt: skip
    out = run("mosquitto_sub", url, *session, "-C", "1", "-F", "%C|%P|%R|%D|%F|%p").decode().strip()
    equal(out, "text/plain|b:1 a:2|back|c0ffee|1|x")
    with Device(url, name):
        pass


@case
def retained_only_and_removed(url):
    root = unique("cmd")
    for number in range(5):
        run("mosquitto_pub", url, "-t", f"{root}/{number}", "-q", "1", "-r", "-m", f"{number}")
    out = run("mosquitto_sub", url, "-V", "mqttv5", "-t", f"{root}/#", "-q", "1", "--retained-only", "-C", "5")
    equal(sorted(out.decode().split()), [f"{number}" for number in range(5)])
    removing = subprocess.Popen(command("mosquitto_sub", url, "-t", f"{root}/#", "-q", "1", "--remove-retained"), stdout=subprocess.DEVNULL)

    def all_gone():
        with Device(url) as device:
            device.subscribe(f"{root}/#", qos=1)
            fence(device, device)
            return not device.messages

    try:
        wait_until(all_gone, "what mosquitto_sub has removed is gone")
    finally:
        removing.terminate()
        removing.wait()


@case
def a_will_of_the_command(url):
    topic, name = unique("cmd"), unique("cmd")
    with Device(url) as watcher:
        watcher.subscribe(f"{topic}/#", qos=2)
        words = ["-i", name, "-t", unique("none"), "--will-topic", f"{topic}/will", "--will-payload", "gone", "--will-qos", "2"]
        lost = subscriber(url, *words)
        lost.kill()
        lost.communicate()
        message = watcher.take(1)[0]
        equal((message.topic, message.payload, message.qos), (f"{topic}/will", b"gone", 2))


@case
def request_and_response(url):
    service, answers = unique("service"), unique("answers")
    with Device(url) as server:
        server.subscribe(service, qos=1)
        words = ["-V", "mqttv5", "-t", service, "-e", answers, "-m", "question", "-q", "1", "-D", "publish", "correlation-data", "7"]
        asking = subprocess.Popen(command("mosquitto_rr", url, *words), stdout=subprocess.PIPE)
        request = server.take(1)[0]
        values = values_of(request)
        equal((request.payload, values["ResponseTopic"], values["CorrelationData"]), (b"question", answers, b"7"))
        server.publish(answers, b"answer", 1, CorrelationData=b"7")
        out, _ = asking.communicate(timeout=30)
        equal((out, asking.returncode), (b"answer\n", 0))


@case
def refused_logins(url):
    wrong = url.replace(":guest@", ":wrong@")
    for version in VERSIONS:
        told = run("mosquitto_pub", wrong, "-V", version, "-t", "a", "-m", "b", fails=True).decode()
        expected = ("bad user name or password", "not authori", "unacceptable")
        equal(any(word in told.lower() for word in expected), True, f"{version}: {told}")


@case
def shared_among_commands(url):
    topic, group = unique("cmd"), unique("group")
    members = []
    for _ in range(2):
        words = ["-V", "mqttv5", "-t", f"$share/{group}/{topic}", "-q", "1", "-C", "10", "-F", "got %p"]
        members.append(subscriber(url, *words))
    run("mosquitto_pub", url, "-t", topic, "-q", "1", "-l", stdin=b"".join(b"%d\n" % line for line in range(20)))
    found = []
    for member in members:
        out, _ = member.communicate(timeout=30)
        found += [int(line.split()[1]) for line in out.decode().splitlines() if line.startswith("got ")]
    equal(sorted(found), list(range(20)))


@case
def the_tree_of_the_broker(url):
    out = run("mosquitto_sub", url, "-t", "$SYS/broker/version", "-C", "1", "-W", "30").decode().strip()
    equal(bool(out), True, "version")
    for topic in ("$SYS/broker/uptime", "$SYS/broker/clients/total", "$SYS/broker/load/messages/received/1min"):
        run("mosquitto_sub", url, "-t", topic, "-C", "1", "-W", "30")


if __name__ == "__main__":
    main()
