// A sketch that lets `midge device` test a model in TensorFlow Lite for Microcontrollers (library Arduino_TensorFlowLite or the
// like) on a board: classes and logits. midge attacks with its own gradient of the same file. docs/device-protocol.md
#include <TensorFlowLite.h>
#include <tensorflow/lite/micro/all_ops_resolver.h>
#include <tensorflow/lite/micro/micro_interpreter.h>
#include <tensorflow/lite/schema/schema_generated.h>

#include "midge_link.h"
#include "model.h"  // unsigned char model_tflite[], from: xxd -i model.tflite

alignas(16) static uint8_t arena[60 * 1024];
static tflite::MicroInterpreter *interpreter;
static TfLiteTensor *input, *output;

static void put(uint32_t i, float pixel) {
  if (input->type == kTfLiteInt8) {
    long q = lround(pixel / input->params.scale) + input->params.zero_point;
    input->data.int8[i] = q < -128 ? -128 : q > 127 ? 127 : q;
  } else {
    input->data.f[i] = pixel;
  }
}

static int run() { return interpreter->Invoke() == kTfLiteOk; }

static float logit(uint16_t i) {
  if (output->type != kTfLiteInt8) return output->data.f[i];
  return output->params.scale * (output->data.int8[i] - output->params.zero_point);
}

static void send(const uint8_t *bytes, uint16_t count) { Serial.write(bytes, count); }
static uint32_t now() { return micros(); }

static midge_board board;

void setup() {
  Serial.begin(115200);
  static tflite::AllOpsResolver resolver;
  static tflite::MicroInterpreter it(tflite::GetModel(model_tflite), resolver, arena, sizeof arena);
  if (it.AllocateTensors() != kTfLiteOk) return;  // midge says that nobody answers
  interpreter = &it;
  input = it.input(0);
  output = it.output(0);
  bool is_int8 = input->type == kTfLiteInt8;
  float scale = is_int8 ? input->params.scale : 0;
  int zero = is_int8 ? input->params.zero_point : 0;
  board.board = "my board";
  board.model = "model";
  board.fingerprint = "";  // midge then takes --model for the same file
  board.element = is_int8 ? MIDGE_I8 : MIDGE_F32;
  for (int i = 0; i < 3; i++) board.shape[i] = i + 1 < input->dims->size ? input->dims->data[i + 1] : 1;
  board.classes = output->dims->data[output->dims->size - 1];
  board.low = is_int8 ? scale * (-128 - zero) : 0;
  board.high = is_int8 ? scale * (127 - zero) : 1;
  board.scale = scale;
  board.zero_point = zero;
  board.put = put, board.run = run, board.logit = logit, board.send = send, board.micros = now;
  midge_start(&board);
}

void loop() {
  while (interpreter && Serial.available()) midge_receive(&board, Serial.read());
}
