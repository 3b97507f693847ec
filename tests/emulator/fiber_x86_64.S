# void reel_switch_fiber(void** save /* rdi */, void* to /* rsi */): kernels leave the control words of SSE and x87 alone,
# so the callee-saved general registers of the System V ABI are all there is to keep.
    .text
    .globl reel_switch_fiber
    .type  reel_switch_fiber, @function
    .p2align 4
reel_switch_fiber:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq  %rsp, (%rdi)
    movq  %rsi, %rsp
    popq  %r15
    popq  %r14
    popq  %r13
    popq  %r12
    popq  %rbx
    popq  %rbp
    popq  %rax
    jmpq  *%rax
    .size reel_switch_fiber, . - reel_switch_fiber

    .globl reel_enter_fiber
    .type  reel_enter_fiber, @function
    .p2align 4
reel_enter_fiber:
    .cfi_startproc
    .cfi_undefined rip
    callq *%rbx
    ud2
    .cfi_endproc
    .size reel_enter_fiber, . - reel_enter_fiber
    .section .note.GNU-stack, "", @progbits
