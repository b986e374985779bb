package open.ecny.runtime;

import java.util.Map;
import java.util.Set;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassVisitor;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.FieldVisitor;
import org.objectweb.asm.Handle;
import org.objectweb.asm.MethodVisitor;
import org.objectweb.asm.Opcodes;
import org.objectweb.asm.Type;

/**
 * Makes an applet's bytecode report every write and every allocation to {@link Hooks}, and refuses what no Java Card
 * has. No branch is added, so the stack maps stay as they are.
 *
 * <p>Fields written in a constructor, or in a static initialiser, are not reported: objects are made at installation
 * only, and an allocation after it is counted by itself.
 */
final class Instrumentation extends ClassVisitor {
    private static final String HOOKS = Type.getInternalName(Hooks.class);
    private static final String UTIL = "javacard/framework/Util";
    private static final String OWNER_PIN = "javacard/framework/OwnerPIN";
    private static final Set<String> WRITING_UTILITIES =
            Set.of("arrayCopy", "arrayCopyNonAtomic", "arrayFill", "arrayFillNonAtomic", "setShort");
    private static final Set<String> PIN_METHODS = Set.of("check", "update", "resetAndUnblock");
    private static final Set<String> MAKERS =
            Set.of("getInstance", "buildKey", "makeTransientByteArray", "makeTransientShortArray",
                    "makeTransientBooleanArray", "makeTransientObjectArray", "makeGlobalArray");
    /** What an applet may use beside its own classes; the rest of the API writes in ways that are not modelled here. */
    private static final Map<String, Boolean> API =
            Map.of("javacard/framework/", true, "javacard/security/", true, "javacardx/crypto/", true,
                    "javacardx/apdu/", true, "javacard/framework/service/", false);
    private static final Set<String> LANGUAGE =
            Set.of("java/lang/Object", "java/lang/Throwable", "java/lang/Exception", "java/lang/RuntimeException",
                    "java/lang/ArithmeticException", "java/lang/ArrayIndexOutOfBoundsException",
                    "java/lang/ArrayStoreException", "java/lang/ClassCastException",
                    "java/lang/IndexOutOfBoundsException", "java/lang/NegativeArraySizeException",
                    "java/lang/NullPointerException", "java/lang/SecurityException");

    private final AppletLoader loader;
    private String name;

    private Instrumentation(ClassVisitor next, AppletLoader loader) {
        super(Opcodes.ASM9, next);
        this.loader = loader;
    }

    /** The instrumented class file. Throws {@link NotJavaCard}. */
    static byte[] instrument(byte[] classFile, AppletLoader loader) {
        ClassReader reader = new ClassReader(classFile);
        ClassWriter writer = new ClassWriter(reader, ClassWriter.COMPUTE_MAXS);
        reader.accept(new Instrumentation(writer, loader), 0);
        return writer.toByteArray();
    }

    @Override
    public void visit(int version, int access, String name, String signature, String parent, String[] interfaces) {
        this.name = name;
        if ((access & Opcodes.ACC_ENUM) != 0) {
            throw new NotJavaCard(name, "an enum");
        }
        super.visit(version, access, name, signature, parent, interfaces);
    }

    @Override
    public FieldVisitor visitField(int access, String field, String descriptor, String signature, Object value) {
        checkType(Type.getType(descriptor), "field " + field);
        return super.visitField(access, field, descriptor, signature, value);
    }

    @Override
    public MethodVisitor visitMethod(int access, String method, String descriptor, String signature, String[] thrown) {
        String where = "method " + method;
        if ((access & (Opcodes.ACC_SYNCHRONIZED | Opcodes.ACC_NATIVE)) != 0) {
            throw new NotJavaCard(name, where + " is synchronized or native");
        }
        for (Type type : Type.getArgumentTypes(descriptor)) {
            checkType(type, where);
        }
        checkType(Type.getReturnType(descriptor), where);
        MethodVisitor next = super.visitMethod(access, method, descriptor, signature, thrown);
        return new Reporting(next, where, method.startsWith("<"));
    }

    private void checkType(Type type, String where) {
        Type element = type;
        if (type.getSort() == Type.ARRAY) {
            if (type.getDimensions() > 1) {
                throw new NotJavaCard(name, where + " has an array of arrays");
            }
            element = type.getElementType();
        }
        switch (element.getSort()) {
            case Type.LONG:
            case Type.FLOAT:
            case Type.DOUBLE:
            case Type.CHAR:
                throw new NotJavaCard(name, where + " uses " + element.getClassName());
            case Type.OBJECT:
                checkClass(element.getInternalName(), where);
                break;
            default:
                break;
        }
    }

    private void checkClass(String used, String where) {
        if (loader.isApplet(used) || LANGUAGE.contains(used)) {
            return;
        }
        String folder = used.substring(0, used.lastIndexOf('/') + 1);
        if (!API.getOrDefault(folder, false)) {
            throw new NotJavaCard(name, where + " uses " + used.replace('/', '.'));
        }
    }

    /** One method, instruction by instruction. */
    private final class Reporting extends MethodVisitor {
        private final String where;
        private final boolean initialiser;

        Reporting(MethodVisitor next, String where, boolean initialiser) {
            super(Opcodes.ASM9, next);
            this.where = where;
            this.initialiser = initialiser;
        }

        private void report(String hook, String descriptor) {
            super.visitMethodInsn(Opcodes.INVOKESTATIC, HOOKS, hook, descriptor, false);
        }

        @Override
        public void visitInsn(int opcode) {
            switch (opcode) {
                case Opcodes.BASTORE:
                    report("storeByte", "(Ljava/lang/Object;II)V");
                    return;
                case Opcodes.SASTORE:
                    report("storeShort", "([SII)V");
                    return;
                case Opcodes.IASTORE:
                    report("storeInt", "([III)V");
                    return;
                case Opcodes.AASTORE:
                    report("storeReference", "([Ljava/lang/Object;ILjava/lang/Object;)V");
                    return;
                case Opcodes.MONITORENTER:
                    throw new NotJavaCard(name, where + " is synchronized");
                default:
                    super.visitInsn(opcode);
            }
        }

        @Override
        public void visitFieldInsn(int opcode, String owner, String field, String descriptor) {
            if (!initialiser && loader.isApplet(owner)) {
                if (opcode == Opcodes.PUTFIELD) {
                    // object, value → object, value, object, number; every value is one slot, as no long is let in
                    super.visitInsn(Opcodes.DUP2);
                    super.visitInsn(Opcodes.POP);
                    super.visitLdcInsn(loader.numberOf(owner, field));
                    report("beforePut", "(Ljava/lang/Object;I)V");
                } else if (opcode == Opcodes.PUTSTATIC) {
                    super.visitLdcInsn(loader.numberOf(owner, field));
                    report("beforePutStatic", "(I)V");
                }
            }
            super.visitFieldInsn(opcode, owner, field, descriptor);
        }

        @Override
        public void visitIntInsn(int opcode, int operand) {
            super.visitIntInsn(opcode, operand);
            if (opcode == Opcodes.NEWARRAY) {
                super.visitInsn(Opcodes.DUP);
                report("newArray", "(Ljava/lang/Object;)V");
            }
        }

        @Override
        public void visitTypeInsn(int opcode, String type) {
            checkType(Type.getObjectType(type), where);
            if (opcode == Opcodes.NEW) {
                report("newObject", "()V");
            }
            super.visitTypeInsn(opcode, type);
            if (opcode == Opcodes.ANEWARRAY) {
                super.visitInsn(Opcodes.DUP);
                report("newArray", "(Ljava/lang/Object;)V");
            }
        }

        @Override
        public void visitMethodInsn(int opcode, String owner, String method, String descriptor, boolean isInterface) {
            checkType(Type.getObjectType(owner), where);
            if (loader.isApplet(owner) || owner.startsWith("java/lang/")) {
                super.visitMethodInsn(opcode, owner, method, descriptor, isInterface);
            } else if (owner.equals(UTIL) && WRITING_UTILITIES.contains(method)) {
                report(method, descriptor);
            } else if (owner.equals(OWNER_PIN) && PIN_METHODS.contains(method)) {
                report(method, "(L" + OWNER_PIN + ";" + descriptor.substring(1));
            } else {
                if (opcode == Opcodes.INVOKESTATIC && MAKERS.contains(method)) {
                    report("newObject", "()V");
                }
                super.visitMethodInsn(opcode, owner, method, descriptor, isInterface);
                reportCall(owner, method, descriptor);
            }
        }

        private void reportCall(String owner, String method, String descriptor) {
            boolean key = owner.startsWith("javacard/security/") && owner.contains("Key") && !owner.contains("KeyB");
            if (key && (method.startsWith("set") || method.equals("clearKey") || method.equals("genKeyPair"))) {
                report("afterKeyCall", "()V");
            } else if (descriptor.substring(0, descriptor.indexOf(')')).contains("[") && !owner.equals(UTIL)) {
                report("afterCall", "()V");
            }
        }

        @Override
        public void visitLdcInsn(Object value) {
            if (!(value instanceof Integer)) {
                throw new NotJavaCard(name, where + " has the constant " + value);
            }
            super.visitLdcInsn(value);
        }

        @Override
        public void visitInvokeDynamicInsn(
                String method, String descriptor, Handle bootstrap, Object... arguments) {
            throw new NotJavaCard(name, where + " uses a lambda or joins strings");
        }

        @Override
        public void visitMultiANewArrayInsn(String descriptor, int dimensions) {
            throw new NotJavaCard(name, where + " has an array of arrays");
        }
    }
}
