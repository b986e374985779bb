package open.ecny.bench;

import java.io.FileWriter;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.lang.instrument.ClassFileTransformer;
import java.lang.instrument.Instrumentation;
import java.security.ProtectionDomain;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.Label;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;

/**
 * An agent that counts the bytecodes that the purse applet executes for each command, and its calls of the Java Card API.
 * One line a command, "bytecodes calls", when the next one begins. The runtime's own calls are not counted: they stand for
 * what a chip does in hardware or counts as one bytecode.
 */
public final class CountBytecodes implements ClassFileTransformer {
    private static final String APPLET = "open/ecny/purse/";
    private static final String RUNTIME = "open/ecny/runtime/";
    private static final String HERE = "open/ecny/bench/CountBytecodes";
    private static long bytecodes;
    private static long calls;
    private static PrintWriter lines;

    private CountBytecodes() {}

    /** @param file where the lines go */
    public static void premain(String file, Instrumentation instrumentation) {
        try {
            lines = new PrintWriter(new FileWriter(file), true);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        instrumentation.addTransformer(new CountBytecodes());
    }

    public static void one() {
        bytecodes++;
    }

    public static void call() {
        calls++;
    }

    /** The applet gets a command: what was counted belongs to the one before. */
    public static void command() {
        lines.println(bytecodes + " " + calls);
        bytecodes = 0;
        calls = 0;
    }

    @Override
    public byte[] transform(ClassLoader loader, String name, Class<?> old, ProtectionDomain domain, byte[] code) {
        if (name == null || !name.startsWith(APPLET)) {
            return null;
        }
        ClassReader reader = new ClassReader(code);
        ClassWriter writer = new ClassWriter(reader, 0);
        reader.accept(new Counted(writer, name.equals(APPLET + "PurseApplet")), 0);
        return writer.toByteArray();
    }

    private static final class Counted extends ClassVisitor {
        private final boolean isApplet;

        Counted(ClassVisitor next, boolean isApplet) {
            super(Opcodes.ASM9, next);
            this.isApplet = isApplet;
        }

        @Override
        public MethodVisitor visitMethod(int access, String name, String type, String signature, String[] thrown) {
            MethodVisitor next = super.visitMethod(access, name, type, signature, thrown);
            return next == null ? null : new CountedMethod(next, isApplet && name.equals("process"));
        }
    }

    private static final class CountedMethod extends MethodVisitor {
        private final boolean isProcess;

        CountedMethod(MethodVisitor next, boolean isProcess) {
            super(Opcodes.ASM9, next);
            this.isProcess = isProcess;
        }

        private void count(String what) {
            mv.visitMethodInsn(Opcodes.INVOKESTATIC, HERE, what, "()V", false);
        }

        @Override
        public void visitCode() {
            super.visitCode();
            if (isProcess) {
                count("command");
            }
        }

        @Override
        public void visitInsn(int opcode) {
            count("one");
            super.visitInsn(opcode);
        }

        @Override
        public void visitIntInsn(int opcode, int operand) {
            count("one");
            super.visitIntInsn(opcode, operand);
        }

        @Override
        public void visitVarInsn(int opcode, int variable) {
            count("one");
            super.visitVarInsn(opcode, variable);
        }

        @Override
        public void visitTypeInsn(int opcode, String type) {
            count("one");
            super.visitTypeInsn(opcode, type);
        }

        @Override
        public void visitFieldInsn(int opcode, String owner, String name, String type) {
            count("one");
            super.visitFieldInsn(opcode, owner, name, type);
        }

        @Override
        public void visitMethodInsn(int opcode, String owner, String name, String type, boolean isInterface) {
            if (!owner.startsWith(RUNTIME)) {
                count("one");
            }
            if (owner.startsWith("javacard")) {
                count("call");
            }
            super.visitMethodInsn(opcode, owner, name, type, isInterface);
        }

        @Override
        public void visitJumpInsn(int opcode, Label to) {
            count("one");
            super.visitJumpInsn(opcode, to);
        }

        @Override
        public void visitLdcInsn(Object value) {
            count("one");
            super.visitLdcInsn(value);
        }

        @Override
        public void visitIincInsn(int variable, int by) {
            count("one");
            super.visitIincInsn(variable, by);
        }

        @Override
        public void visitTableSwitchInsn(int least, int most, Label other, Label... cases) {
            count("one");
            super.visitTableSwitchInsn(least, most, other, cases);
        }

        @Override
        public void visitLookupSwitchInsn(Label other, int[] keys, Label[] cases) {
            count("one");
            super.visitLookupSwitchInsn(other, keys, cases);
        }
    }
}
