// What the interpreter refuses, in hand-written PTX.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ptx/module.h"

namespace reel::ptx {
namespace {

using testing::HasSubstr;

struct Args {
  float* out;
};

/// A kernel of 64 threads around `body`; out[thread] is at %rd1, its address in shared memory at %r2.
std::string kernel(const std::string& body) {
  return ".version 9.0\n.visible .entry sample_kernel(\n\t.param .align 8 .b8 sample_kernel_param_0[8]\n)\n{\n"
         "\t.reg .pred \t%p<4>;\n\t.reg .b32 \t%r<8>;\n\t.reg .f32 \t%f<4>;\n\t.reg .b64 \t%rd<4>;\n"
         "\t.shared .align 4 .b8 values[256];\n"
         "\tld.param.u64 \t%rd1, [sample_kernel_param_0];\n\tmov.u32 \t%r1, %tid.x;\n"
         "\tmul.wide.u32 \t%rd2, %r1, 4;\n\tadd.s64 \t%rd1, %rd1, %rd2;\n"
         "\tmov.u32 \t%r2, values;\n\tshl.b32 \t%r3, %r1, 2;\n\tadd.s32 \t%r2, %r2, %r3;\n" +
         body + "\tret;\n}\n";
}

/// The error, or nothing.
std::string run(const std::string& body, std::vector<float>* out = nullptr, unsigned cluster = 1) {
  std::vector<float> values(64);
  Args args{values.data()};
  try {
    const Module module(kernel(body));
    execute(module.kernels().at(0), {.grid = dim3(cluster), .block = dim3(64), .cluster = cluster},
            std::as_bytes(std::span(&args, 1)));
  } catch (const Error& error) {
    return error.what();
  }
  if (out != nullptr) *out = values;
  return "";
}

TEST(PtxErrors, NoneWhereThereIsNoMistake) {
  std::vector<float> out;
  EXPECT_EQ(run("\tcvt.rn.f32.u32 \t%f1, %r1;\n\tst.shared.f32 \t[%r2], %f1;\n\tbar.sync \t0;\n"
                "\tmov.u32 \t%r4, values;\n\tld.shared.f32 \t%f2, [%r4+252];\n\tst.global.f32 \t[%rd1], %f2;\n",
                &out),
            "");
  EXPECT_THAT(out, testing::Each(63.0f));
}

/// Lanes one after the other, here.
TEST(PtxErrors, NoneWhereThreadsCount) {
  std::vector<float> out;
  EXPECT_EQ(run("\tld.param.u64 \t%rd3, [sample_kernel_param_0];\n\tmov.u32 \t%r5, 47;\n"
                "\tatom.acq_rel.gpu.inc.u32 \t%r4, [%rd3], %r5;\n\tbar.sync \t0;\n"
                "\tcvt.rn.f32.u32 \t%f1, %r4;\n\tst.global.f32 \t[%rd1], %f1;\n",
                &out),
            "");
  std::vector<float> expected(64);
  for (std::size_t i = 0; i < 64; ++i) expected[i] = static_cast<float>(i % 48);
  EXPECT_EQ(out, expected);
}

TEST(PtxErrors, UnknownInstruction) { EXPECT_THAT(run("\tsin.approx.f32 \t%f1, %f2;\n"), HasSubstr("sin.approx.f32")); }

TEST(PtxErrors, MisalignedAddress) {
  EXPECT_THAT(run("\tld.global.f32 \t%f1, [%rd1+2];\n"), HasSubstr("misaligned address"));
}

TEST(PtxErrors, OutsideSharedMemory) {
  EXPECT_THAT(run("\tld.shared.f32 \t%f1, [%r2+256];\n"), HasSubstr("address 256 of 256"));
}

TEST(PtxErrors, CopyNeverWaitedFor) {
  EXPECT_THAT(run("\tcp.async.ca.shared.global [%r2], [%rd1], 4;\n\tcp.async.commit_group;\n"),
              HasSubstr("never waited for"));
}

TEST(PtxErrors, BarrierThatSomeThreadsMiss) {
  EXPECT_THAT(run("\tsetp.eq.s32 \t%p1, %r1, 40;\n\t@%p1 bra \t$L__BB0_1;\n\tbar.sync \t0;\n$L__BB0_1:\n"),
              testing::ContainsRegex("deadlock|have ended"));
}

TEST(PtxErrors, ShuffleOfHalfAWarp) {
  EXPECT_THAT(run("\tsetp.lt.s32 \t%p1, %r1, 16;\n\tmov.b32 \t%r5, -1;\n\tmov.b32 \t%r6, 31;\n\tmov.b32 \t%r7, 1;\n"
                  "\t@%p1 shfl.sync.bfly.b32 \t%r4|%p2, %r1, %r7, %r6, %r5;\n"),
              HasSubstr("not by the whole warp"));
}

TEST(PtxErrors, BarrierOfHalfAWarp) {
  EXPECT_THAT(run("\tsetp.lt.s32 \t%p1, %r1, 16;\n\t@%p1 bar.warp.sync \t-1;\n"), HasSubstr("not by the whole warp"));
  EXPECT_THAT(run("\tbar.warp.sync \t15;\n"), HasSubstr("not known"));
}

const std::string kArrive = "\tbarrier.cluster.arrive.release.aligned;\n";
const std::string kWait = "\tbarrier.cluster.wait.acquire.aligned;\n";
/// Thread i writes i to shared memory of a block of the cluster.
std::string store_to(int block) {
  return "\tmov.u32 \t%r4, " + std::to_string(block) +
         ";\n\tmapa.shared::cluster.u32 %r5, %r2, %r4;\n\tcvt.rn.f32.u32 \t%f1, %r1;\n"
         "\tst.shared::cluster.f32 [%r5], %f1;\n";
}

TEST(PtxErrors, NoneWhereAClusterMakesNoMistake) {
  std::vector<float> out;
  EXPECT_EQ(run(kArrive + kWait + store_to(1) + kArrive + kWait +
                    "\tmov.u32 \t%r6, %cluster_ctarank;\n\tsetp.eq.s32 \t%p1, %r6, 0;\n\t@%p1 bra \t$L__BB0_1;\n"
                    "\tld.shared.f32 \t%f2, [%r2];\n\tst.global.f32 \t[%rd1], %f2;\n$L__BB0_1:\n",
                &out, 2),
            "");
  EXPECT_EQ(out[63], 63.0f);
}

TEST(PtxErrors, StoreBeforeTheFirstClusterBarrier) {
  EXPECT_THAT(run(store_to(1) + kArrive + kWait, nullptr, 2), HasSubstr("before the first cluster barrier"));
}

/// Block 0 ends after the first barrier.
TEST(PtxErrors, StoreToABlockThatHasEnded) {
  const std::string end_block_0 =
      "\tmov.u32 \t%r6, %cluster_ctarank;\n\tsetp.eq.s32 \t%p1, %r6, 0;\n\t@%p1 bra \t$L__BB0_1;\n";
  EXPECT_THAT(run(kArrive + kWait + end_block_0 + store_to(0) + "$L__BB0_1:\n", nullptr, 2),
              HasSubstr("block 0 has ended"));
}

TEST(PtxErrors, HalvesOfAClusterBarrierThatDoNotMatch) {
  EXPECT_THAT(run(kWait, nullptr, 2), HasSubstr("it has not arrived"));
  EXPECT_THAT(run(kArrive + kArrive, nullptr, 2), HasSubstr("arrived before"));
  EXPECT_THAT(run(kArrive, nullptr, 2), HasSubstr("within a cluster barrier"));
}

TEST(PtxErrors, ClusterBarrierOfHalfAWarp) {
  EXPECT_THAT(
      run("\tsetp.lt.s32 \t%p1, %r1, 16;\n\t@%p1 barrier.cluster.arrive.release.aligned;\n" + kArrive, nullptr, 2),
      HasSubstr("not by the whole warp"));
}

TEST(PtxErrors, BlockBeyondTheCluster) {
  EXPECT_THAT(run(kArrive + kWait + store_to(2), nullptr, 2), HasSubstr("block 2 of the cluster"));
}

/// Thread 0 of each block makes a barrier of 8 bytes and says that it gets `bytes`; then all of the cluster meet.
std::string counting(int bytes) {
  return "\tsetp.ne.s32 \t%p1, %r1, 0;\n\t@%p1 bra \t$L__BB0_2;\n\tmov.u32 \t%r4, values;\n"
         "\tmbarrier.init.shared::cta.b64 [%r4], 1;\n"
         "\tmov.u32 \t%r5, " +
         std::to_string(bytes) +
         ";\n\tmbarrier.arrive.expect_tx.relaxed.cta.shared::cta.b64 _, [%r4], %r5;\n$L__BB0_2:\n" + kArrive + kWait;
}
/// Threads 2 to 63 store to their place in block 1, counted by that block's barrier or by `counted`'s.
std::string store_counted(int counted = 1) {
  return "\tsetp.lt.u32 \t%p1, %r1, 2;\n\tmov.u32 \t%r4, 1;\n\tmapa.shared::cluster.u32 %r5, %r2, %r4;\n"
         "\tmov.u32 \t%r6, values;\n\tmov.u32 \t%r4, " +
         std::to_string(counted) +
         ";\n\tmapa.shared::cluster.u32 %r6, %r6, %r4;\n\tcvt.rn.f32.u32 \t%f1, %r1;\n"
         "\t@!%p1 st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.f32 [%r5], %f1, [%r6];\n";
}
/// All threads of block 1 wait for the phase of this parity.
std::string wait_counted(int parity) {
  return "\tmov.u32 \t%r6, %cluster_ctarank;\n\tsetp.eq.s32 \t%p1, %r6, 0;\n\t@%p1 bra \t$L__BB0_3;\n"
         "\tmov.u32 \t%r4, values;\n\tmov.u32 \t%r5, " +
         std::to_string(parity) +
         ";\n$L__BB0_4:\n\t{.reg .pred %ended;\n"
         "\tmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 %ended, [%r4], %r5;\n"
         "\tselp.u32 %r6, 1, 0, %ended;}\n\tsetp.eq.s32 \t%p2, %r6, 0;\n\t@%p2 bra \t$L__BB0_4;\n"
         "\tld.shared.f32 \t%f2, [%r2];\n\tst.global.f32 \t[%rd1], %f2;\n$L__BB0_3:\n";
}

TEST(PtxErrors, NoneWhereABlockCountsWhatItGets) {
  std::vector<float> out;
  EXPECT_EQ(run(counting(496) + store_counted() + wait_counted(0), &out, 2), "");
  EXPECT_EQ(out[2], 2.0f);
  EXPECT_EQ(out[63], 63.0f);
}

TEST(PtxErrors, BytesThatDoNotAddUp) {
  EXPECT_THAT(run(counting(500) + store_counted() + wait_counted(0), nullptr, 2), HasSubstr("deadlock"));
  EXPECT_THAT(run(counting(6) + store_counted(), nullptr, 2), HasSubstr("more bytes than expected"));
}

TEST(PtxErrors, BarriersThatAreNotThere) {
  EXPECT_THAT(run(kArrive + kWait + store_counted(), nullptr, 2), HasSubstr("no mbarrier"));
  EXPECT_THAT(run(counting(496) + store_counted(0), nullptr, 2), HasSubstr("another block's"));
}

TEST(PtxErrors, ParameterOfAnotherSize) {
  const Module module(kernel(""));
  const std::array<std::byte, 4> parameter{};
  EXPECT_THROW(execute(module.kernels().at(0), {.block = dim3(32)}, parameter), Error);
}

}  // namespace
}  // namespace reel::ptx
