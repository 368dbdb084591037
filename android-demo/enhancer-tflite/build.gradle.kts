plugins {
    alias(libs.plugins.android.library)
}

android {
    namespace = "edgekit.tflite"
    compileSdk = 36
    defaultConfig { minSdk = 26 }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
}

dependencies {
    api(project(":enhancer-core"))
    implementation(libs.litert)
}
