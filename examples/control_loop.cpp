// The loop of control_loop.py in C++: an ONNX policy at a fixed rate, with its state, its reset, and the latency measured.
//
//     g++ -std=c++17 -O2 -I ORT/include control_loop.cpp -L ORT/lib -lonnxruntime -o control_loop
//     ./control_loop policy.onnx [STEPS [RATE]]
//
// A wave stands in for the robot: replace `sense` and `act`. docs/guides/control_loop.md explains each step.

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>
#include <vector>

using Clock = std::chrono::steady_clock;

struct Policy {
  Ort::Env env{ORT_LOGGING_LEVEL_WARNING, "policy"};
  Ort::Session session{nullptr};
  Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  std::vector<std::string> inputs, outputs;
  std::map<std::string, std::vector<float>> state;  // what it remembers, by name
  std::vector<double> observation, control, reward{0.0};
  std::vector<float> start{0.0f};

  explicit Policy(const char* file) {
    env.DisableTelemetryEvents();
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);  // a small network is faster on one thread, and steadier
    session = Ort::Session(env, file, options);
    Ort::AllocatorWithDefaultOptions allocator;
    for (size_t i = 0; i < session.GetOutputCount(); ++i)
      outputs.push_back(session.GetOutputNameAllocated(i, allocator).get());
    for (size_t i = 0; i < session.GetInputCount(); ++i) {
      inputs.push_back(session.GetInputNameAllocated(i, allocator).get());
      size_t size = session.GetInputTypeInfo(i).GetTensorTypeAndShapeInfo().GetShape()[1];
      if (inputs[i] == "observation") observation.resize(size);
      if (std::count(outputs.begin(), outputs.end(), "next_" + inputs[i])) state[inputs[i]].resize(size);
    }
  }

  // When a trial begins: when the robot itself has changed.
  void reset() {
    for (auto& [name, values] : state) std::fill(values.begin(), values.end(), 0.0f);
  }

  // From `observation`, `reward` and `start` to `control`; the state moves on.
  void step() {
    std::vector<const char*> in, out;
    std::vector<Ort::Value> values;
    for (const auto& name : inputs) {
      in.push_back(name.c_str());
      if (name == "observation") values.push_back(tensor(observation));
      else if (name == "reward") values.push_back(tensor(reward));
      else if (name == "start") values.push_back(tensor(start));
      else values.push_back(tensor(state.at(name)));
    }
    for (const auto& name : outputs) out.push_back(name.c_str());
    auto found = session.Run(Ort::RunOptions{}, in.data(), values.data(), in.size(), out.data(), out.size());
    for (size_t i = 0; i < outputs.size(); ++i) {
      size_t size = found[i].GetTensorTypeAndShapeInfo().GetElementCount();
      if (outputs[i] == "control") {
        const double* from = found[i].GetTensorData<double>();
        control.assign(from, from + size);
      } else if (auto to = state.find(outputs[i].substr(5)); to != state.end()) {  // behind "next_"
        const float* from = found[i].GetTensorData<float>();
        to->second.assign(from, from + size);
      }
    }
  }

 private:
  template <typename T>
  Ort::Value tensor(std::vector<T>& data) {
    const int64_t shape[] = {1, static_cast<int64_t>(data.size())};
    return Ort::Value::CreateTensor<T>(memory, data.data(), data.size(), shape, 2);
  }
};

void sense(std::vector<double>& observation, int step) {
  for (size_t i = 0; i < observation.size(); ++i) observation[i] = std::sin(step + static_cast<double>(i));
}

void act(const std::vector<double>& control) { (void)control; }

int main(int count, char** arguments) {
  if (count < 2) return std::fprintf(stderr, "usage: %s policy.onnx [STEPS [RATE]]\n", arguments[0]), 2;
  const int steps = count > 2 ? std::atoi(arguments[2]) : 500;
  const double rate = count > 3 ? std::atof(arguments[3]) : 50.0;
  try {
    Policy policy(arguments[1]);
    policy.reset();
    std::vector<double> latency;
    const auto period = std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(1 / rate));
    auto due = Clock::now();
    for (int step = 0; step < steps; ++step) {
      const auto begin = Clock::now();
      sense(policy.observation, step);
      policy.start[0] = step == 0;
      policy.step();
      for (double value : policy.control)  // a NaN of a sensor goes through to the control
        if (!std::isfinite(value)) return std::fprintf(stderr, "no control: stop the robot\n"), 1;
      act(policy.control);
      latency.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
      std::this_thread::sleep_until(due += period);  // from the last deadline: the rate does not drift
    }
    std::sort(latency.begin(), latency.end());
    std::printf("latency in ms: 50 %% %.3f, 99 %% %.3f, 100 %% %.3f\n", latency[latency.size() / 2],
                latency[latency.size() * 99 / 100], latency.back());
    std::printf("last control:");
    for (double value : policy.control) std::printf(" %.17g", value);
    std::printf("\n");
  } catch (const Ort::Exception& error) {
    return std::fprintf(stderr, "%s: %s\n", arguments[1], error.what()), 1;
  }
}
