package open.ecny.purse;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.FieldVisitor;
import org.objectweb.asm.Handle;
import org.objectweb.asm.Label;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;

/**
 * Reads class files as the converter of a Java Card does, for a virtual machine without type int (Java Card 3.0.4
 * Virtual Machine Specification, clause 2.2.3).
 *
 * <p>javac computes in 32 bits what a card computes in 16. Both agree wherever a result is narrowed at once, so each
 * value on the operand stack is either <em>narrow</em> (surely a short) or <em>wide</em>: what +, -, *, unary -, {@code
 * <<}, {@code >>>} and / leave. The low 16 bits of a wide value are right on both machines, so it may go through these
 * again (but / and the right shifts) and through bitwise operations, and must be cast before anything else looks at
 * it: a comparison, an array index, a right shift, a division, a variable, an argument, an answer.
 */
final class CardCode extends ClassVisitor {
    private static final List<String> PACKAGES = List.of("javacard/framework/", "javacard/security/", "javacardx/");
    private static final Set<String> LANGUAGE =
            Set.of("java/lang/Object", "java/lang/Throwable", "java/lang/Exception", "java/lang/RuntimeException");
    private static final Set<String> MAKERS =
            Set.of("getInstance", "buildKey", "makeTransientByteArray", "makeTransientShortArray",
                    "makeTransientBooleanArray", "makeTransientObjectArray", "makeGlobalArray");

    private final List<String> faults = new ArrayList<>();
    private final Map<String, Set<String>> calls = new TreeMap<>();
    private final Map<String, Set<String>> makes = new TreeMap<>();
    private String name;
    private String folder;

    CardCode() {
        super(Opcodes.ASM9);
    }

    void read(byte[] classFile) {
        new ClassReader(classFile).accept(this, ClassReader.SKIP_DEBUG | ClassReader.SKIP_FRAMES);
    }

    /** What no Java Card without type int would do as javac meant it, a line each. */
    List<String> faults() {
        return Collections.unmodifiableList(faults);
    }

    /** What is allocated, or which field is written, in the methods that these lead to, a line each. */
    Set<String> madeFrom(String... roots) {
        Set<String> seen = new TreeSet<>();
        List<String> open = new ArrayList<>(Arrays.asList(roots));
        Set<String> found = new TreeSet<>();
        while (!open.isEmpty()) {
            String method = open.remove(open.size() - 1);
            if (seen.add(method)) {
                open.addAll(calls.getOrDefault(method, Set.of()));
                found.addAll(makes.getOrDefault(method, Set.of()));
            }
        }
        return found;
    }

    /** Every method that was read, as class.name and descriptor. */
    Set<String> methods() {
        return Collections.unmodifiableSet(calls.keySet());
    }

    @Override
    public void visit(int version, int access, String name, String signature, String parent, String[] interfaces) {
        this.name = name;
        folder = name.substring(0, name.lastIndexOf('/') + 1);
        checkClass(parent, name);
        for (String one : interfaces) {
            checkClass(one, name);
        }
    }

    @Override
    public FieldVisitor visitField(int access, String field, String descriptor, String signature, Object value) {
        checkType(Type.getType(descriptor), name + "." + field);
        return null;
    }

    @Override
    public MethodVisitor visitMethod(int access, String method, String descriptor, String signature, String[] thrown) {
        String where = name + "." + method + descriptor;
        calls.put(where, new TreeSet<>());
        makes.put(where, new TreeSet<>());
        checkMethod(descriptor, where);
        return new Code(where);
    }

    private void fault(String where, String what) {
        faults.add(where + ": " + what);
    }

    private void checkMethod(String descriptor, String where) {
        for (Type type : Type.getArgumentTypes(descriptor)) {
            checkType(type, where);
        }
        checkType(Type.getReturnType(descriptor), where);
    }

    private void checkType(Type type, String where) {
        Type element = type.getSort() == Type.ARRAY ? type.getElementType() : type;
        switch (element.getSort()) {
            case Type.VOID:
            case Type.BOOLEAN:
            case Type.BYTE:
            case Type.SHORT:
                break;
            case Type.OBJECT:
                checkClass(element.getInternalName(), where);
                break;
            default:
                fault(where, "type " + element.getClassName());
        }
        if (type.getSort() == Type.ARRAY && type.getDimensions() > 1) {
            fault(where, "an array of arrays");
        }
    }

    private void checkClass(String used, String where) {
        if (!used.startsWith(folder) && !LANGUAGE.contains(used) && PACKAGES.stream().noneMatch(used::startsWith)) {
            fault(where, "class " + used.replace('/', '.'));
        }
    }

    /** One method, with the operand stack before each of its instructions: true is a wide value. */
    private final class Code extends MethodVisitor {
        private final String where;
        private final Map<Label, List<Boolean>> jumps = new HashMap<>();
        private List<Boolean> stack = new ArrayList<>();

        Code(String where) {
            super(Opcodes.ASM9);
            this.where = where;
        }

        private void push(boolean wide) {
            stack.add(wide);
        }

        private boolean pop() {
            return stack.remove(stack.size() - 1);
        }

        private void popNarrow(int count, String use) {
            for (int i = 0; i < count; i++) {
                if (pop()) {
                    fault(where, "not narrowed before " + use);
                }
            }
        }

        // Control flow

        @Override
        public void visitTryCatchBlock(Label start, Label end, Label handler, String type) {
            jumps.put(handler, List.of(false));
        }

        @Override
        public void visitLabel(Label label) {
            List<Boolean> known = jumps.get(label);
            if (stack == null) {
                stack = known == null ? new ArrayList<>() : new ArrayList<>(known);
            } else if (known != null) {
                merge(stack, known);
            }
        }

        private void jump(Label label) {
            List<Boolean> known = jumps.get(label);
            if (known == null) {
                jumps.put(label, new ArrayList<>(stack));
            } else {
                merge(known, stack);
            }
        }

        private void merge(List<Boolean> into, List<Boolean> other) {
            if (into.size() != other.size()) {
                throw new IllegalStateException(where + ": a stack of two heights");
            }
            for (int i = 0; i < into.size(); i++) {
                if (other.get(i) && !into.get(i)) {
                    into.set(i, true);
                }
            }
        }

        @Override
        public void visitJumpInsn(int opcode, Label label) {
            if (opcode == Opcodes.JSR) {
                fault(where, "jsr");
            }
            if (opcode != Opcodes.GOTO) {
                boolean two = opcode >= Opcodes.IF_ICMPEQ && opcode <= Opcodes.IF_ACMPNE;
                popNarrow(two ? 2 : 1, "a comparison");
            }
            jump(label);
            if (opcode == Opcodes.GOTO) {
                stack = null;
            }
        }

        @Override
        public void visitTableSwitchInsn(int least, int most, Label otherwise, Label... labels) {
            visitLookupSwitchInsn(otherwise, new int[] {least, most}, labels);
        }

        @Override
        public void visitLookupSwitchInsn(Label otherwise, int[] keys, Label[] labels) {
            popNarrow(1, "a switch");
            for (int key : keys) {
                checkConstant(key);
            }
            jump(otherwise);
            for (Label label : labels) {
                jump(label);
            }
            stack = null;
        }

        // Values

        private void checkConstant(int value) {
            if (value != (short) value) {
                fault(where, "constant " + value);
            }
        }

        @Override
        public void visitIntInsn(int opcode, int operand) {
            if (opcode == Opcodes.NEWARRAY) {
                popNarrow(1, "the length of an array");
                boolean known = operand == Opcodes.T_BYTE || operand == Opcodes.T_SHORT || operand == Opcodes.T_BOOLEAN;
                if (!known) {
                    fault(where, "an array of another type");
                }
                makes.get(where).add(where + ": new array");
            }
            push(false);
        }

        @Override
        public void visitLdcInsn(Object value) {
            if (value instanceof Integer) {
                checkConstant((Integer) value);
            } else {
                fault(where, "constant " + value);
            }
            push(false);
        }

        @Override
        public void visitVarInsn(int opcode, int variable) {
            switch (opcode) {
                case Opcodes.ILOAD:
                case Opcodes.ALOAD:
                    push(false);
                    break;
                case Opcodes.ISTORE:
                case Opcodes.ASTORE:
                    popNarrow(1, "it is stored in a variable");
                    break;
                default:
                    fault(where, "a variable of another type");
                    throw new IllegalStateException(where);
            }
        }

        @Override
        public void visitIincInsn(int variable, int increment) {
            fault(where, "a variable of type int");
        }

        @Override
        public void visitTypeInsn(int opcode, String type) {
            checkType(Type.getObjectType(type), where);
            switch (opcode) {
                case Opcodes.NEW:
                    push(false);
                    makes.get(where).add(where + ": new " + type);
                    break;
                case Opcodes.ANEWARRAY:
                    popNarrow(1, "the length of an array");
                    push(false);
                    makes.get(where).add(where + ": new array of " + type);
                    break;
                default: // a cast, or a question about a type
                    pop();
                    push(false);
            }
        }

        @Override
        public void visitFieldInsn(int opcode, String owner, String field, String descriptor) {
            checkType(Type.getType(descriptor), where);
            checkClass(owner, where);
            boolean writes = opcode == Opcodes.PUTFIELD || opcode == Opcodes.PUTSTATIC;
            if (writes) {
                popNarrow(1, "it is stored in a field");
                makes.get(where).add(where + ": writes field " + owner + "." + field);
            }
            if (opcode == Opcodes.GETFIELD || opcode == Opcodes.PUTFIELD) {
                pop();
            }
            if (!writes) {
                push(false);
            }
        }

        @Override
        public void visitMethodInsn(int opcode, String owner, String method, String descriptor, boolean isInterface) {
            checkClass(owner, where);
            checkMethod(descriptor, where);
            popNarrow(Type.getArgumentTypes(descriptor).length, "it is an argument");
            if (opcode != Opcodes.INVOKESTATIC) {
                pop();
            }
            if (Type.getReturnType(descriptor) != Type.VOID_TYPE) {
                push(false);
            }
            calls.get(where).add(owner + "." + method + descriptor);
            if (opcode == Opcodes.INVOKESTATIC && MAKERS.contains(method)) {
                makes.get(where).add(where + ": " + method);
            }
        }

        @Override
        public void visitInvokeDynamicInsn(String method, String descriptor, Handle bootstrap, Object... arguments) {
            fault(where, "a lambda, or strings that are joined");
            throw new IllegalStateException(where);
        }

        @Override
        public void visitMultiANewArrayInsn(String descriptor, int dimensions) {
            fault(where, "an array of arrays");
            throw new IllegalStateException(where);
        }

        @Override
        public void visitInsn(int opcode) {
            if (opcode >= Opcodes.ICONST_M1 && opcode <= Opcodes.ICONST_5 || opcode == Opcodes.ACONST_NULL) {
                push(false);
                return;
            }
            switch (opcode) {
                case Opcodes.NOP:
                    break;
                case Opcodes.BALOAD:
                case Opcodes.SALOAD:
                case Opcodes.AALOAD:
                    popNarrow(2, "it is an index");
                    push(false);
                    break;
                case Opcodes.BASTORE:
                case Opcodes.SASTORE:
                case Opcodes.AASTORE:
                    popNarrow(3, "it is stored in an array, or is an index");
                    break;
                case Opcodes.ARRAYLENGTH:
                    pop();
                    push(false);
                    break;
                default:
                    compute(opcode);
            }
        }

        private void compute(int opcode) {
            switch (opcode) {
                case Opcodes.I2B:
                case Opcodes.I2S:
                    pop();
                    push(false);
                    break;
                case Opcodes.IADD:
                case Opcodes.ISUB:
                case Opcodes.IMUL:
                    pop();
                    pop();
                    push(true);
                    break;
                case Opcodes.ISHL:
                    popNarrow(1, "it is the width of a shift");
                    pop();
                    push(true);
                    break;
                case Opcodes.INEG:
                    pop();
                    push(true);
                    break;
                case Opcodes.IAND:
                case Opcodes.IOR:
                case Opcodes.IXOR: // of two shorts it is a short
                    push(pop() | pop());
                    break;
                case Opcodes.ISHR:
                case Opcodes.IREM:
                    popNarrow(2, "a right shift or a remainder");
                    push(false);
                    break;
                case Opcodes.IUSHR:
                case Opcodes.IDIV: // of two shorts it may be 32,768
                    popNarrow(2, "a right shift or a division");
                    push(true);
                    break;
                default:
                    move(opcode);
            }
        }

        private void move(int opcode) {
            int top = stack.size();
            switch (opcode) {
                case Opcodes.POP:
                    pop();
                    break;
                case Opcodes.POP2:
                    pop();
                    pop();
                    break;
                case Opcodes.DUP:
                    stack.add(stack.get(top - 1));
                    break;
                case Opcodes.DUP_X1:
                    stack.add(top - 2, stack.get(top - 1));
                    break;
                case Opcodes.DUP_X2:
                    stack.add(top - 3, stack.get(top - 1));
                    break;
                case Opcodes.DUP2:
                    stack.add(stack.get(top - 2));
                    stack.add(stack.get(top - 1));
                    break;
                case Opcodes.SWAP:
                    Collections.swap(stack, top - 1, top - 2);
                    break;
                case Opcodes.IRETURN:
                case Opcodes.ARETURN:
                    popNarrow(1, "it is returned");
                    stack = null;
                    break;
                case Opcodes.RETURN:
                case Opcodes.ATHROW:
                    stack = null;
                    break;
                default: // of long, float, double, char, int[], monitors
                    fault(where, "instruction " + opcode);
                    throw new IllegalStateException(faults.toString());
            }
        }
    }
}
