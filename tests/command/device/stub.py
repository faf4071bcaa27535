"""A board in Python that speaks midge's device protocol, written from docs/device-protocol.md: stub.py MODEL [--terminal].

It runs networks of one dense layer, says its port on standard output, and serves one connection after the other. With
--terminal it is at a pseudo-terminal, whose path it says.
"""

import json
import os
import socket
import struct
import sys
import zlib


def load(path):
    data = open(path, "rb").read()
    length = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__")

    def tensor(name):
        start, end = header[name]["data_offsets"]
        return struct.unpack(f"<{(end - start) // 4}f", data[8 + length + start : 8 + length + end])

    return metadata["crc32"], header["1.weight"]["shape"], tensor("1.weight"), tensor("1.bias")


def stuffed(plain):
    out = bytearray()
    for block in plain.split(b"\0"):
        assert len(block) <= 254
        out += bytes([len(block) + 1]) + block
    return b"\0" + bytes(out) + b"\0"


def unstuffed(line):
    plain, at = bytearray(), 0
    while at < len(line):
        distance = line[at]
        if at + distance > len(line):
            return None
        plain += line[at + 1 : at + distance]
        at += distance
        if at < len(line) and distance < 255:
            plain.append(0)
    return bytes(plain)


def integer(n):
    out = bytearray()
    while n >= 128:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out) + bytes([n])


def text(s):
    return integer(len(s.encode())) + s.encode()


class Message:
    def __init__(self, data):
        self.data, self.at = data, 0

    def byte(self):
        self.at += 1
        return self.data[self.at - 1]

    def integer(self):
        n = shift = 0
        while True:
            byte = self.byte()
            n |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return n

    def rest(self, length):
        assert self.at + length == len(self.data)
        return self.data[self.at :]


class Board:
    def __init__(self, path):
        self.fingerprint, (self.inputs, self.classes), self.weight, self.bias = load(path)
        self.image, self.logits = [], None

    def run(self):
        self.logits = [
            self.bias[o] + sum(x * self.weight[i * self.classes + o] for i, x in enumerate(self.image))
            for o in range(self.classes)
        ]

    def answer(self, message):
        request = message.byte()
        if request == 0:
            shape = b"".join(map(integer, (self.inputs, 1, 1, self.classes)))
            return (
                b"\1" + text("python") + text("dense") + text(self.fingerprint) + b"\0" + shape
                + struct.pack("<ff", 0, 1) + b"\0\0" + bytes([240]) + b"\0\2"
            )
        if request == 1:
            encoding, offset, length = message.byte(), message.integer(), message.integer()
            data = message.rest(length)
            if encoding == 0:
                values = struct.unpack(f"<{length // 4}f", data)
            else:
                values = [byte / 255 for byte in data]
            if offset > len(self.image):
                return b"\7\5" + integer(len(self.image))
            if offset + len(values) > self.inputs:
                return b"\7\4" + integer(self.inputs)
            self.image[0 if offset == 0 else len(self.image) :] = []
            self.image[offset : offset + len(values)] = values
            return b"\2" + integer(len(self.image))
        if request == 2:
            part, encoding, offset, count = message.byte(), message.byte(), message.integer(), message.byte()
            if part or encoding or self.logits is None:
                return b"\7\7"
            values = self.logits[offset : offset + min(count, 60)]
            return b"\3" + integer(offset) + integer(4 * len(values)) + struct.pack(f"<{len(values)}f", *values)
        if request in (3, 4):
            if len(self.image) < self.inputs:
                return b"\7\6" + integer(len(self.image))
            self.run()
            best = max(range(self.classes), key=lambda o: self.logits[o])
            done = b"\0" + integer(best) + struct.pack("<f", 0) if request == 3 else b"\1"
            return b"\4" + done + integer(1000) + b"\0"
        return b"\6" if request == 8 else b"\7\2"


def serve(connection, board):
    last, answer, line = None, b"", bytearray()

    def send(number, message):
        plain = struct.pack("<BH", 1, number) + message
        frame = stuffed(plain + struct.pack("<I", zlib.crc32(plain)))
        connection.sendall(frame)
        return frame

    send(0, b"\0")
    while data := connection.recv(4096):
        for byte in data:
            if byte:
                line.append(byte)
                continue
            if not line:
                continue
            plain, line = unstuffed(line), bytearray()
            if plain is None or len(plain) < 7 or struct.unpack("<I", plain[-4:])[0] != zlib.crc32(plain[:-4]):
                send(0, b"\7\0")
            elif plain == last:
                connection.sendall(answer)
            else:
                try:
                    message = Board.answer(board, Message(plain[3:-4]))
                except (AssertionError, IndexError, struct.error):
                    message = b"\7\2"
                last, answer = plain, send(struct.unpack_from("<H", plain, 1)[0], message)


class Terminal:
    def __init__(self):
        import termios

        self.board, self.host = os.openpty()
        attributes = termios.tcgetattr(self.host)
        # What the board says would come back to it. All else is for the host to switch off.
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(self.host, termios.TCSANOW, attributes)

    def recv(self, count):
        return os.read(self.board, count)

    def sendall(self, data):
        while data:
            data = data[os.write(self.board, data) :]


if sys.argv[2:] == ["--terminal"]:
    terminal = Terminal()
    print(os.ttyname(terminal.host), flush=True)
    serve(terminal, Board(sys.argv[1]))

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
board = Board(sys.argv[1])
while True:
    try:
        serve(listener.accept()[0], board)
    except ConnectionError:
        # A host that left before it had heard all.
        pass
