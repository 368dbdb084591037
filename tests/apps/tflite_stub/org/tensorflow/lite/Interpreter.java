package org.tensorflow.lite;

import java.nio.ByteBuffer;

/** A stub of our own: states what enhancer-tflite uses of LiteRT's class, which is in no registry that CI reaches. It proves nothing about LiteRT itself. */
public final class Interpreter implements AutoCloseable {
    public static class Options {
        public Options setNumThreads(int numThreads) {
            throw new RuntimeException("Stub!");
        }
    }

    public Interpreter(ByteBuffer model, Options options) {
        throw new RuntimeException("Stub!");
    }

    public void run(Object input, Object output) {
        throw new RuntimeException("Stub!");
    }

    @Override
    public void close() {
        throw new RuntimeException("Stub!");
    }
}
