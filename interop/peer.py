"""The Python package moq-rs as a peer, steered by lines of JSON.

    peer.py publish    --url https://127.0.0.1:4443/anon --path a/b   a client that writes a track
    peer.py subscribe  --url https://127.0.0.1:4443/anon --path a/b   a client that reads it
    peer.py server     --bind 127.0.0.1:4443 --cert c.pem --key k.pem [publish|subscribe|both]

A server shares one origin among its sessions, so it is also a small relay; with
"publish" or "subscribe" it writes or reads a track of that origin itself.

Each event is one line of JSON on stdout. A publisher waits for a line "go" on
stdin and for a reader before it writes, for "on" before the group of --hold, and
for "retract" before it retracts; every role ends at "quit" or at the end of stdin.

A payload is "<group> <frame> <sha256 of the padding> <padding>", in ASCII.
"""

import argparse
import asyncio
import functools
import hashlib
import json
import os
import random
import string
import sys
import traceback

import moq

ALPHABET = string.ascii_letters + string.digits


def emit(event, **fields):
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


class Commands:
    """The lines of stdin; wait(name) returns when that line was read, or at the end."""

    def __init__(self):
        self._seen = set()
        self._changed = asyncio.Condition()

    async def read(self):
        while True:
            line = await asyncio.to_thread(sys.stdin.readline)
            async with self._changed:
                self._seen.add(line.strip() if line else "quit")
                self._changed.notify_all()
            if not line:
                return

    async def wait(self, name):
        async with self._changed:
            await self._changed.wait_for(lambda: name in self._seen or "quit" in self._seen)


def payload(group, frame, size):
    padding = "".join(random.choices(ALPHABET, k=size))
    return f"{group} {frame} {hashlib.sha256(padding.encode()).hexdigest()} {padding}"


def damaged(text):
    """The same payload with another last character."""
    return text[:-1] + ("a" if text[-1] != "a" else "b")


async def publish(origin, args, commands):
    broadcast = origin.create_broadcast(args.path)
    track = broadcast.publish_track(args.track, moq.TrackInfo(max_age_us=args.max_age * 1000))
    await asyncio.sleep(args.announce_after)
    broadcast.announce()
    emit("announced", path=args.path)
    await commands.wait("go")
    await track.demand().used()

    loop = asyncio.get_running_loop()
    start, sent = loop.time(), 0
    for g in range(args.groups):
        if g == args.hold:
            await commands.wait("on")
        group = track.append_group()
        emit("group", group=group.sequence)
        for f in range(args.frames):
            text = payload(group.sequence, f, args.size)
            if [g, f] == args.damage:
                text = damaged(text)
            if [g, f] != args.drop:
                group.write_frame(text.encode(), int((loop.time() - start) * 1e6))
            sent += 1
            await asyncio.sleep(max(0.0, start + sent / args.rate - loop.time()))
        group.finish()
    track.finish()
    emit("finished", groups=args.groups, frames=args.frames)

    await commands.wait("retract")
    broadcast.close()
    emit("retracted", path=args.path)
    await commands.wait("quit")


async def announcements(origin, args):
    async for update in origin.announced(""):
        emit("announce", path=update.prefix, active=update.active)


async def group_frames(group):
    index = 0
    try:
        async for frame in group:
            emit("frame", group=group.sequence, frame=index, payload=frame.payload.decode())
            index += 1
    except moq.Error as err:
        emit("group_error", group=group.sequence, frame=index, error=describe(err))
        return
    emit("group_end", group=group.sequence, frames=index)


def describe(err):
    protocol = moq.protocol_error(err)
    if protocol is None:
        return {"type": type(err).__name__, "text": str(err), "code": None}
    return {"type": f"{protocol.scope.name} {protocol.kind.name}", "text": protocol.message, "code": protocol.code}


async def read_track(origin, args):
    broadcast = await origin.announced_broadcast(args.path).available()
    for name in args.unknown:
        try:
            await broadcast.subscribe_track(name)
            emit("unknown", track=name, error=None)
        except moq.Error as err:
            emit("unknown", track=name, error=describe(err))
    track = await broadcast.subscribe_track(args.track, moq.Subscription(max_age_us=args.max_age * 1000))
    emit("subscribed", path=args.path, track=args.track)
    readers = []
    try:
        while (group := await track.recv_group()) is not None:
            readers.append(asyncio.create_task(group_frames(group)))
    except moq.Error as err:
        emit("track_error", error=describe(err))
        return
    await asyncio.gather(*readers)
    emit("track_end")


async def until_quit(commands, *work):
    """Runs work until "quit", or until some of it fails."""
    quitting = asyncio.create_task(commands.wait("quit"))
    pending = {quitting, *map(asyncio.create_task, work)}
    while not quitting.done():
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()


async def subscribe(origin, args, commands):
    await until_quit(commands, announcements(origin, args), read_track(origin, args))


def client(args, **origins):
    return moq.Client(
        args.url,
        tls_fingerprints=args.fingerprint or None,
        tls_verify=bool(args.fingerprint),
        websocket_enabled=False,
        **origins,
    )


async def run_client(args, commands, role):
    async with client(args) as session:
        emit("connected")
        # A refusal comes after "connected", and only here; losses that end in a reconnect do not.
        closed = asyncio.create_task(session.session.closed())
        work = asyncio.create_task(role(session, args, commands))
        await asyncio.wait([closed, work], return_when=asyncio.FIRST_COMPLETED)
        if closed.done():
            closed.result()
        await work


async def serve(server, held):
    async for request in server:
        path = request.path
        held.append(await request.accept())
        emit("accepted", path=path, transport=request.transport.name)


async def run_server(args, commands):
    origin = moq.OriginProducer()
    server = moq.Server(args.bind, tls_cert=args.cert, tls_key=args.key, publish=origin, subscribe=origin)
    async with server:
        emit("listening", address=server.local_addr, fingerprints=server.cert_fingerprints())
        work = [serve(server, [])]
        if args.role in ("publish", "both"):
            work.append(publish(origin, args, commands))
        if args.role in ("subscribe", "both"):
            work.append(subscribe(origin.consume(), args, commands))
        await until_quit(commands, *work)


def track_options(parser):
    parser.add_argument("--path", default="test", help="the broadcast")
    parser.add_argument("--track", default="data")
    parser.add_argument("--max-age", type=int, default=5000, help="ms, of the track or of the subscription")
    parser.add_argument("--groups", type=int, default=10)
    parser.add_argument("--frames", type=int, default=100, help="in each group")
    parser.add_argument("--size", type=int, default=300, help="characters of padding")
    parser.add_argument("--rate", type=float, default=500, help="frames a second")
    parser.add_argument("--hold", type=int, help="write this group only after \"on\"")
    parser.add_argument("--announce-after", type=float, default=0, help="seconds")
    parser.add_argument("--damage", type=int, nargs=2, metavar=("GROUP", "FRAME"), help="spoil one frame, to test the checker")
    parser.add_argument("--drop", type=int, nargs=2, metavar=("GROUP", "FRAME"), help="leave one frame out, to test the checker")
    parser.add_argument("--unknown", action="append", default=[], help="a track to ask for first, and report what came")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    roles = parser.add_subparsers(dest="command", required=True)
    for name, work in (("publish", publish), ("subscribe", subscribe)):
        role = roles.add_parser(name)
        role.set_defaults(run=functools.partial(run_client, role=work))
        role.add_argument("--url", required=True)
        role.add_argument("--fingerprint", action="append", help="SHA-256 of the certificate; without one nothing is verified")
        track_options(role)
    server = roles.add_parser("server")
    server.set_defaults(run=run_server)
    server.add_argument("--bind", default="127.0.0.1:0")
    server.add_argument("--cert", action="append", required=True)
    server.add_argument("--key", action="append", required=True)
    server.add_argument("role", nargs="?", choices=["relay", "publish", "subscribe", "both"], default="relay")
    track_options(server)
    return parser.parse_args()


async def main():
    args = arguments()
    commands = Commands()
    reading = asyncio.create_task(commands.read())
    status = 0
    try:
        await args.run(args, commands)
    except moq.Error as err:
        emit("error", error=describe(err))
        status = 1
    except Exception:
        traceback.print_exc()
        status = 1
    reading.cancel()
    # Not by returning: that would wait for the thread that reads stdin.
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    asyncio.run(main())
