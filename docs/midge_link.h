/* The board's side of midge's device protocol, version 1: docs/device-protocol.md. For firmware that runs a model of its own and
   can classify, but has no gradient. No allocation; about 600 bytes of RAM and 1 kB of stack. Fill in a `midge_board`, call
   midge_start once, and midge_receive with every byte that arrives. */
#ifndef MIDGE_LINK_H
#define MIDGE_LINK_H
#include <stdint.h>
#include <string.h>

#define MIDGE_VERSION 1
#define MIDGE_PLAIN 254 /* most bytes of a frame: version, number, message, checksum */
#define MIDGE_CHUNK 236 /* most bytes of elements in a message */

enum { MIDGE_F32, MIDGE_F16, MIDGE_I8 };

typedef struct {
  const char *board, *model, *fingerprint; /* at most 40 bytes each; the fingerprint may be "" */
  uint8_t element;                         /* MIDGE_F32, MIDGE_F16 or MIDGE_I8 */
  uint16_t shape[3], classes;              /* height, width, channels */
  float low, high;                         /* the smallest and the largest pixel */
  float scale;                             /* of MIDGE_I8: pixel = scale * (integer - zero_point); 0 without integers */
  int32_t zero_point;
  void (*put)(uint32_t index, float pixel); /* writes one pixel of the model's input */
  int (*run)(void);                         /* runs the model; 0 if it failed */
  float (*logit)(uint16_t index);           /* reads one output, before softmax */
  void (*send)(const uint8_t *bytes, uint16_t count);
  uint32_t (*micros)(void);
  /* From here on the header's own; zero at the start. */
  uint8_t plain[MIDGE_PLAIN], out[MIDGE_PLAIN + 3], left, zero, started;
  uint16_t len, out_len;
  uint32_t filled, last_sum;
  uint16_t last_number;
  uint8_t answered, has_logits;
} midge_board;

/* ---- bytes of a message ---- */
typedef struct { uint8_t bytes[MIDGE_PLAIN]; uint16_t len; } midge_writer;

static void midge_u8(midge_writer *w, uint8_t x) { if (w->len < sizeof w->bytes) w->bytes[w->len++] = x; }
static void midge_var(midge_writer *w, uint64_t x) {
  for (; x >= 128; x >>= 7) midge_u8(w, (uint8_t)(x | 128));
  midge_u8(w, (uint8_t)x);
}
static void midge_f32(midge_writer *w, float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  for (int i = 0; i < 4; i++) midge_u8(w, (uint8_t)(bits >> (8 * i)));
}
static void midge_text(midge_writer *w, const char *s) {
  size_t n = strlen(s);
  if (n > 40) {
    /* At most 40 bytes, and no character of UTF-8 in part: its later bytes begin with the bits 10. */
    for (n = 40; n > 0 && (s[n] & 0xc0) == 0x80; n--) {}
  }
  midge_var(w, n);
  for (size_t i = 0; i < n; i++) midge_u8(w, (uint8_t)s[i]);
}

typedef struct { const uint8_t *at, *end; int bad; } midge_reader;

static uint8_t midge_read(midge_reader *r) {
  if (r->at < r->end) return *r->at++;
  r->bad = 1;
  return 0;
}
static uint32_t midge_read_var(midge_reader *r) {
  uint32_t x = 0;
  for (int shift = 0; shift < 35; shift += 7) {
    uint8_t byte = midge_read(r);
    x |= (uint32_t)(byte & 127) << shift;
    if (byte < 128) return x;
  }
  r->bad = 1;
  return 0;
}

/* ---- frames ---- */
static uint32_t midge_crc(const uint8_t *bytes, uint16_t count) {
  uint32_t crc = 0xffffffffu;
  for (uint16_t i = 0; i < count; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
  }
  return ~crc;
}

/* Sends a message; `keep` says whether it is an answer that may be asked for again. */
static void midge_frame(midge_board *b, uint16_t number, const midge_writer *w, int keep) {
  uint8_t plain[MIDGE_PLAIN], out[MIDGE_PLAIN + 3];
  uint16_t n = 0, at = 1, next = 2;
  plain[n++] = MIDGE_VERSION;
  plain[n++] = (uint8_t)number;
  plain[n++] = (uint8_t)(number >> 8);
  for (uint16_t i = 0; i < w->len && n < MIDGE_PLAIN - 4; i++) plain[n++] = w->bytes[i];
  uint32_t crc = midge_crc(plain, n);
  for (int i = 0; i < 4; i++) plain[n++] = (uint8_t)(crc >> (8 * i));
  out[0] = 0;
  for (uint16_t i = 0; i < n; i++) {
    if (plain[i]) {
      out[next++] = plain[i];
    } else {
      out[at] = (uint8_t)(next - at);
      at = next++;
    }
  }
  out[at] = (uint8_t)(next - at);
  out[next++] = 0;
  b->send(out, next);
  if (keep) {
    memcpy(b->out, out, next);
    b->out_len = next;
  }
}

/* A fault, with one number if it has one. */
static void midge_fault(midge_writer *w, uint8_t fault, int has, uint32_t number) {
  midge_u8(w, 7);
  midge_u8(w, fault);
  if (has) midge_var(w, number);
}

/* ---- what is asked for ---- */
static uint32_t midge_elements(const midge_board *b) { return (uint32_t)b->shape[0] * b->shape[1] * b->shape[2]; }

static void midge_info(const midge_board *b, midge_writer *w) {
  midge_u8(w, 1);
  midge_text(w, b->board);
  midge_text(w, b->model);
  midge_text(w, b->fingerprint);
  midge_u8(w, b->element);
  for (int i = 0; i < 3; i++) midge_var(w, b->shape[i]);
  midge_var(w, b->classes);
  midge_f32(w, b->low);
  midge_f32(w, b->high);
  midge_u8(w, b->scale != 0);
  if (b->scale != 0) {
    midge_f32(w, b->scale);
    midge_var(w, ((uint32_t)b->zero_point << 1) ^ (b->zero_point < 0 ? 0xffffffffu : 0u));
  }
  midge_u8(w, 0);           /* no gradient, no attack, no camera, and images as the firmware keeps them */
  midge_u8(w, MIDGE_CHUNK); /* bytes of elements in a message */
  midge_var(w, 0);          /* no memory for attacks */
  midge_u8(w, 2);           /* ticks are microseconds */
}

static void midge_put(midge_board *b, midge_reader *r, midge_writer *w) {
  uint8_t encoding = midge_read(r);
  uint32_t offset = midge_read_var(r), bytes = midge_read_var(r), size = encoding == 0 ? 4 : 1;
  if (r->bad || encoding > 2 || bytes != (uint32_t)(r->end - r->at) || bytes % size || (encoding == 2 && b->scale == 0)) {
    midge_fault(w, 2, 0, 0); /* unknown */
  } else if (offset > b->filled) {
    midge_fault(w, 5, 1, b->filled); /* gap */
  } else if (bytes / size > midge_elements(b) - offset) {
    midge_fault(w, 4, 1, midge_elements(b)); /* too large */
  } else {
    uint32_t end = offset + bytes / size;
    for (uint32_t i = offset; i < end; i++) {
      float pixel;
      if (encoding == 0) {
        uint32_t bits = r->at[0] | (uint32_t)r->at[1] << 8 | (uint32_t)r->at[2] << 16 | (uint32_t)r->at[3] << 24;
        memcpy(&pixel, &bits, 4);
      } else {
        pixel = encoding == 1 ? *r->at / 255.0f : b->scale * ((int8_t)*r->at - b->zero_point);
      }
      r->at += size;
      b->put(i, pixel);
    }
    b->filled = offset == 0 || end > b->filled ? end : b->filled;
    midge_u8(w, 2);
    midge_var(w, b->filled);
  }
}

static void midge_get(midge_board *b, midge_reader *r, midge_writer *w) {
  uint8_t part = midge_read(r), encoding = midge_read(r);
  uint32_t offset = midge_read_var(r), count = midge_read(r);
  if (r->bad || r->at != r->end || encoding != 0) {
    midge_fault(w, 2, 0, 0); /* unknown */
  } else if (part != 0 || !b->has_logits) {
    midge_fault(w, 7, 0, 0); /* no result */
  } else {
    uint32_t there = offset < b->classes ? b->classes - offset : 0;
    if (count > there) count = there;
    if (count > MIDGE_CHUNK / 4) count = MIDGE_CHUNK / 4;
    midge_u8(w, 3);
    midge_var(w, offset);
    midge_var(w, 4 * count);
    for (uint32_t i = 0; i < count; i++) midge_f32(w, b->logit((uint16_t)(offset + i)));
  }
}

static void midge_run(midge_board *b, int wants_class, midge_writer *w) {
  if (b->filled != midge_elements(b)) {
    midge_fault(w, 6, 1, b->filled); /* no image */
    return;
  }
  uint32_t start = b->micros();
  b->has_logits = b->run() != 0;
  uint32_t ticks = b->micros() - start;
  if (!b->has_logits) {
    midge_u8(w, 7); /* fault: refused, for another reason */
    midge_u8(w, 8);
    midge_u8(w, 7);
    return;
  }
  midge_u8(w, 4);
  midge_u8(w, wants_class ? 0 : 1);
  if (wants_class) {
    uint16_t best = 0;
    for (uint16_t i = 1; i < b->classes; i++) best = b->logit(i) > b->logit(best) ? i : best;
    midge_var(w, best);
    midge_f32(w, 0); /* no softmax here */
  }
  midge_var(w, ticks);
  midge_var(w, 0); /* the stack is not measured */
}

static void midge_answer(midge_board *b, const uint8_t *plain, uint16_t len, uint32_t sum) {
  midge_writer w;
  midge_reader r = {plain + 3, plain + len, 0};
  uint16_t number = (uint16_t)(plain[1] | plain[2] << 8);
  w.len = 0;
  if (b->answered && number == b->last_number && sum == b->last_sum) {
    b->send(b->out, b->out_len); /* the same question gets the same answer */
    return;
  }
  uint8_t request = midge_read(&r);
  int is_whole = r.at == r.end && !r.bad;
  if (plain[0] != MIDGE_VERSION) midge_fault(&w, 1, 1, MIDGE_VERSION);
  else if (request == 0 && is_whole) midge_info(b, &w);
  else if (request == 1) midge_put(b, &r, &w);
  else if (request == 2) midge_get(b, &r, &w);
  else if ((request == 3 || request == 4) && is_whole) midge_run(b, request == 3, &w);
  else if (request == 8 && is_whole) midge_u8(&w, 6); /* cancelled */
  else midge_fault(&w, 2, 0, 0);
  b->answered = 1;
  b->last_number = number;
  b->last_sum = sum;
  midge_frame(b, number, &w, 1);
}

/* Takes a byte from the line; answers what it completes. */
static void midge_receive(midge_board *b, uint8_t byte) {
  if (byte) {
    b->started = 1;
    if (b->left == 0) {
      if (b->zero && b->len <= MIDGE_PLAIN && b->len++ < MIDGE_PLAIN) b->plain[b->len - 1] = 0;
      b->left = (uint8_t)(byte - 1);
      b->zero = byte != 255;
    } else {
      b->left--;
      if (b->len <= MIDGE_PLAIN && b->len++ < MIDGE_PLAIN) b->plain[b->len - 1] = byte;
    }
    return;
  }
  uint16_t len = b->len;
  int is_whole = b->left == 0 && len >= 7 && len <= MIDGE_PLAIN, was_started = b->started;
  b->len = 0;
  b->left = b->zero = b->started = 0;
  if (!was_started) return;
  uint32_t sum = is_whole ? midge_crc(b->plain, (uint16_t)(len - 4)) : 0;
  for (int i = 0; i < 4 && is_whole; i++) is_whole = b->plain[len - 4 + i] == (uint8_t)(sum >> (8 * i));
  if (is_whole) {
    midge_answer(b, b->plain, (uint16_t)(len - 4), sum);
  } else {
    midge_writer w;
    w.len = 0;
    midge_fault(&w, 0, 0, 0); /* damaged */
    midge_frame(b, 0, &w, 0);
  }
}

/* Says that the board has started. */
static void midge_start(midge_board *b) {
  midge_writer w;
  w.len = 0;
  midge_u8(&w, 0);
  midge_frame(b, 0, &w, 0);
}
#endif
