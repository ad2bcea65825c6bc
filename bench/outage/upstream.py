"""Upstream's own client, as a publisher or a subscriber under outages.

    upstream.py publish   URL FINGERPRINT BACKOFF    writes 100 frames a second, a group a second
    upstream.py subscribe URL FINGERPRINT BACKOFF    reads them, and subscribes anew whenever that ends

BACKOFF is "default", or the wait between attempts in microseconds. What happens is
told on stdout, a line each: "frame N", "epoch N", "subscribed", "lost TEXT", "stopped TEXT".
It ends at the end of stdin, and with status 1 when the client gives up.
"""

import asyncio
import os
import sys

import moq

PATH, TRACK = "outage", "frames"
RATE = GROUP = 100


def say(*words):
    sys.stdout.write(" ".join(str(word) for word in words).replace("\n", " ") + "\n")
    sys.stdout.flush()


async def publish(session):
    broadcast = session.create_broadcast(PATH)
    track = broadcast.publish_track(TRACK)
    broadcast.announce()
    loop = asyncio.get_running_loop()
    start, sent = loop.time(), 0
    while True:
        group = track.append_group()
        for _ in range(GROUP):
            group.write_frame(str(sent).encode(), int((loop.time() - start) * 1e6))
            sent += 1
            await asyncio.sleep(max(0.0, start + sent / RATE - loop.time()))
        group.finish()


async def read(group):
    try:
        async for frame in group:
            say("frame", frame.payload.decode())
    except moq.Error:
        pass  # the group was cut; the track tells when the subscription is lost


async def subscribe(session):
    """What an application does that wants to go on: it asks again at once."""
    readers = set()
    while True:
        running = False
        try:
            broadcast = await session.announced_broadcast(PATH).available()
            track = await broadcast.subscribe_track(TRACK)
            running = True
            say("subscribed")
            while (group := await track.recv_group()) is not None:
                reader = asyncio.create_task(read(group))
                readers.add(reader)
                reader.add_done_callback(readers.discard)
            say("lost", "the track ended")
        except moq.Error as err:
            say("lost", type(err).__name__, err)
        if not running:
            await asyncio.sleep(0.002)  # what fails at once must not keep the processor busy


async def epochs(session):
    while True:
        await session.status()
        say("epoch", session.epoch())


async def end_of_stdin():
    while await asyncio.to_thread(sys.stdin.readline):
        pass


async def main():
    role, url, fingerprint, backoff = sys.argv[1:]
    pacing = None
    if backoff != "default":
        pacing = moq.Backoff(initial_us=int(backoff), multiplier=1, max_us=int(backoff), timeout_us=60_000_000)
    work = {"publish": publish, "subscribe": subscribe}[role]
    client = moq.Client(url, tls_fingerprints=[fingerprint], websocket_enabled=False, backoff=pacing)
    status = 0
    try:
        async with client as session:
            tasks = [end_of_stdin(), session.session.closed(), epochs(session.session), work(session)]
            done, _ = await asyncio.wait([asyncio.create_task(t) for t in tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    except moq.Error as err:
        say("stopped", type(err).__name__, err)
        status = 1
    sys.stdout.flush()
    # Not by returning: that would wait for the thread that reads stdin.
    os._exit(status)


if __name__ == "__main__":
    asyncio.run(main())
