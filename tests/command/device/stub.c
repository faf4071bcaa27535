/* A board in C on docs/midge_link.h: one dense layer, from weights.h, behind a TCP port that it says on standard output. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "midge_link.h"
#include "weights.h" /* INPUTS, CLASSES, weight[INPUTS * CLASSES], bias[CLASSES] */

static float image[INPUTS], logits[CLASSES];
static int line;

static void put(uint32_t index, float pixel) { image[index] = pixel; }

static int run(void) {
  for (int o = 0; o < CLASSES; o++) {
    logits[o] = bias[o];
    for (int i = 0; i < INPUTS; i++) logits[o] += image[i] * weight[i * CLASSES + o];
  }
  return 1;
}

static float logit(uint16_t index) { return logits[index]; }

static void send_bytes(const uint8_t *bytes, uint16_t count) {
  if (write(line, bytes, count) != count) perror("write");
}

static uint32_t now(void) { return 0; }

int main(void) {
  /* A host that is gone does not hear the last answer. */
  signal(SIGPIPE, SIG_IGN);
  static midge_board board = {.board = "c", .model = "a dense layer whose name has many bytes\xc3\xa9", .fingerprint = "", .element = MIDGE_F32,
                              .shape = {INPUTS, 1, 1}, .classes = CLASSES, .low = 0, .high = 1, .put = put, .run = run,
                              .logit = logit, .send = send_bytes, .micros = now};
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1)) return 1;
  getsockname(listener, (struct sockaddr *)&address, &size);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  for (;;) {
    line = accept(listener, 0, 0);
    midge_start(&board);
    uint8_t bytes[512];
    for (ssize_t n; (n = read(line, bytes, sizeof bytes)) > 0;) {
      for (ssize_t i = 0; i < n; i++) midge_receive(&board, bytes[i]);
    }
    close(line);
  }
}
