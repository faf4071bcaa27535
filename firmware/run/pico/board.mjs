// A Raspberry Pi Pico on this computer: runs the program of an UF2 file, and connects its UART 0 with a TCP port.
//
//     node board.mjs PROGRAM.uf2 HOST:PORT
//
// The boot ROM is not emulated: the second stage, with which every program begins, is started as the ROM would.
import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { ConsoleLogger, LogLevel, RP2040 } from 'rp2040js';

const FLASH = 0x10000000;
// Where the boot ROM has its stack.
const BOOT_STACK = 0x20042000;
const FAMILY = 0xe48bff56;
// Instructions between two looks at the line.
const SLICE = 100_000;
const HZ = 125e6;

/** Writes the blocks of a UF2 file to the flash. */
function load(board, file) {
  const bytes = readFileSync(file);
  if (bytes.length === 0 || bytes.length % 512 !== 0) throw new Error(`${file}: expected blocks of 512 bytes`);
  for (let at = 0; at < bytes.length; at += 512) {
    const [first, second, , address, size, number, count, family] = Array.from({ length: 8 }, (_, i) =>
      bytes.readUInt32LE(at + 4 * i),
    );
    const isBlock = first === 0x0a324655 && second === 0x9e5d5157 && bytes.readUInt32LE(at + 508) === 0x0ab16f30;
    const fits = address >= FLASH && address - FLASH + size <= board.flash.length && size <= 476;
    if (!isBlock || !fits || family !== FAMILY || number !== at / 512 || count !== bytes.length / 512) {
      throw new Error(`${file}: block ${at / 512} is none for an RP2040`);
    }
    board.flash.set(bytes.subarray(at + 32, at + 32 + size), address - FLASH);
  }
}

const [file, address] = process.argv.slice(2);
const separator = address?.lastIndexOf(':') ?? -1;
if (separator < 0) {
  console.error('expected a program and where the line goes: node board.mjs PROGRAM.uf2 HOST:PORT');
  process.exit(2);
}
const board = new RP2040();
board.logger = new ConsoleLogger(LogLevel.Error);
load(board, file);
board.core.PC = FLASH;
board.core.SP = BOOT_STACK;
board.core.LR = 0;

const uart = board.uart[0];
const arrived = [];
let sent = [];
uart.onByte = (byte) => sent.push(byte);
const line = createConnection(Number(address.slice(separator + 1)), address.slice(0, separator));
line.setNoDelay(true);
line.on('data', (bytes) => arrived.push(...bytes));
line.on('close', () => process.exit(0));
line.on('error', (error) => {
  console.error(String(error));
  process.exit(1);
});

function run() {
  for (let i = 0; i < SLICE; i++) {
    // As fast as the board takes bytes, and never more than its buffer holds.
    if (arrived.length > 0 && uart.rxEnabled && !uart.rxFIFO.full) uart.feedByte(arrived.shift());
    const cycles = board.core.waiting ? 1000 : board.core.executeInstruction();
    board.clock.tick((cycles * 1e9) / HZ);
  }
  if (sent.length > 0) {
    line.write(Uint8Array.from(sent));
    sent = [];
  }
  setImmediate(run);
}
run();
